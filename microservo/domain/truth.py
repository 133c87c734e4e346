"""The truth about a window, by what was in force and by what was measured: see `RULE`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from microservo.domain.labels import Evidence, Span, covered_us
from schemas.records import Label, Role, Truth

RULE = """\
`truth` follows from both by one rule, for each service and window:

- **anomalous**: what a fault with a severity made of this service covers enough of the window. That is what a
  measured effect interval shares with the time in force, and behind it the stretches in which requests and
  calls end that began before the recovery and deviate: who was under way then has met the fault. Enough is
  20 % of the window, or half of the stretch where that is shorter; one record is enough where it is all.
- **masked**, to be scored by nobody: not that, but a fault with a severity is in force here as the root
  cause, seen or not; or an effect touches the window less, or by what began after the recovery; or what was
  measured is undecided while the fault is in force or for 30 s after it, or was too little to say while it
  is in force or for 10 s after it.
- **normal**: everything else: no fault, faults that were looked for here and did not show, and controls,
  which have no severity.

Reach is not effect: no window is anomalous because its service is connected to a faulty one."""
"""The rule as it is stated in words to who reads the labels; `truth_of` is the same in code."""

LEAST_SHARE = 0.2
"""Share of a window that an effect must cover."""

_STRENGTH: tuple[Role, ...] = ("root_cause", "affected", "exposed")
"""Roles, the strongest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTruth:
    """What is known of a window at one of its cuts.

    Attributes:
        labels: faults that touch it, sorted by fault id.
        in_force: share in which a fault with a severity is in force here as the root cause.
        visible: share inside any effect interval that was measured here; None while that is undecided.
        role: strongest role in its labels; None without labels.
        truth: by the rule.
    """

    labels: tuple[Label, ...] = ()
    in_force: float = 0.0
    visible: float | None = 0.0
    role: Role | None = None
    truth: Truth = "normal"


NO_FAULTS = WindowTruth()
"""Of a window that no fault touches."""


def window_truth(found: Sequence[Evidence], window: Span) -> WindowTruth:
    """What several faults mean for a window together.

    Args:
        found: evidence of each fault that touches it, sorted by fault id.
        window: of one service.
    """
    if not found:
        return NO_FAULTS
    labels = tuple(each.label for each in found)
    roots = [each.in_force for each in found if each.label.role == "root_cause" and each.label.severity > 0]
    effects = [span for each in found for span in each.effects]
    is_undecided = any(label.finding == "undecided" for label in labels)
    return WindowTruth(
        labels=labels,
        in_force=covered_us(window, roots) / window.length_us,
        visible=None if is_undecided else covered_us(window, effects) / window.length_us,
        role=strongest(labels).role,
        truth=truth_of(found, window),
    )


def strongest(labels: Sequence[Label]) -> Label:
    """Of some labels of a window, the one that says most of it.

    It has the strongest role; among those the longest effect, the most in force, the highest severity.
    """
    return min(labels, key=_weakness)


def truth_of(found: Sequence[Evidence], window: Span) -> Truth:
    """The truth of a window by `RULE`; what has no severity changes nothing."""
    harmful = [each for each in found if each.label.severity > 0]
    if any(_shows(each, window) for each in harmful):
        return "anomalous"
    return "masked" if any(_may_matter(each.label) for each in harmful) else "normal"


def _weakness(label: Label) -> tuple[int, float, float, float, str]:
    strength = _STRENGTH.index(label.role)
    return strength, -label.visible, -label.overlap, -label.severity, label.fault_id


def _shows(found: Evidence, window: Span) -> bool:
    """Whether what a fault made of the service covers enough of the window."""
    for stretch in found.shown:
        covered_us = stretch.shared_with(window).length_us
        if 0 < covered_us >= min(LEAST_SHARE * window.length_us, stretch.length_us / 2):
            return True
    return False


def _may_matter(label: Label) -> bool:
    """Whether a fault that does not show in a window may still be why the window is as it is."""
    is_in_force_here = label.role == "root_cause" and label.overlap > 0
    if is_in_force_here or label.visible > 0 or label.finding == "undecided":
        return True
    return label.finding == "inconclusive" and (label.overlap > 0 or label.phase == "after_effect")
