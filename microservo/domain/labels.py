"""From a fault and its effect to the label of a window.

The phases of a fault on a service. All but the last are the mechanism's own times; how long the service was
not itself afterwards is measured there::

    apply commanded   applied        recovery commanded   recovered      last deviating record
          |--applying----|------active--------|--recovering---|--after effect--|

What was measured never changes what was in force, and what was in force never changes what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from schemas.records import FaultEffect, Finding, Label, Phase, Role, ServiceFault

FOREVER = 1 << 62
"""End of what has not ended yet, in microseconds UTC."""
JOINED_US = 1_000_000
"""Records that deviate with less between them are of one stretch, also across the recovery."""
AFTER_EFFECT_US = 30_000_000
"""How long after its recovery a fault is looked at, and may be what ails a service."""
DOUBT_US = 10_000_000
"""How long after the recovery a service is not taken for normal where there was too little to say.

As long without a deviating record is back to normal for the observer, too (`normal_after_us`).
"""


class Span(NamedTuple):
    """A stretch of time [start, end), in microseconds UTC."""

    start_us: int
    end_us: int

    def shared_with(self, other: Span) -> Span:
        """The time that both have; empty where they have none."""
        start_us = max(self.start_us, other.start_us)
        return Span(start_us, max(start_us, min(self.end_us, other.end_us)))

    @property
    def length_us(self) -> int:
        """How long it is."""
        return self.end_us - self.start_us


class Stage(NamedTuple):
    """One phase of a fault, and when it was in it."""

    phase: Phase
    span: Span


class Evidence(NamedTuple):
    """What is known of one fault at one service, for one window.

    Attributes:
        label: that of the window.
        in_force: when the fault was in force on its root; empty where it never was.
        effects: effect intervals that were measured at this service; none while that is undecided.
        shown: the stretches of them that the fault itself made: up to its recovery, and behind it as far as
            requests and calls ended that had met it.
        is_settled: whether nothing that will be measured can change the label.
    """

    label: Label
    in_force: Span
    effects: tuple[Span, ...]
    shown: tuple[Span, ...]
    is_settled: bool


def evidence(fault: ServiceFault, effect: FaultEffect | None, window: Span) -> Evidence | None:
    """What a fault means for a window; None where it does not touch it.

    Args:
        fault: as it is known at the cut of the window.
        effect: likewise what was measured of it at the service; None for nothing yet.
        window: of one service.
    """
    finding = finding_of(effect, window.end_us)
    is_seen = effect is not None and finding == "visible"
    effects = _spans(effect.starts_us, effect.ends_us) if effect is not None and is_seen else ()
    late = _spans(effect.late_starts_us, effect.late_ends_us) if effect is not None and is_seen else ()
    shares = [
        (stage.span.shared_with(window).length_us, stage.phase) for stage in stages(fault, finding, effects)
    ]
    # max() keeps the first of equals: the earlier phase.
    longest, phase = max(shares, key=lambda share: share[0], default=(0, None))
    if phase is None or longest == 0:
        return None
    in_force = force_of(fault)
    label = Label(
        fault_id=fault.fault_id,
        kind=fault.kind,
        role=role_of(fault.role, finding),
        relation=fault.relation,
        root_service=fault.root_service,
        hops=fault.hops,
        phase=phase,
        overlap=in_force.shared_with(window).length_us / window.length_us,
        instances=_instances(fault, window),
        severity=fault.severity,
        finding=finding,
        visible=covered_us(window, effects) / window.length_us,
        shared_with=effect.shared_with if effect is not None and effects else (),
    )
    shown = joined([*(each.shared_with(in_force) for each in effects), *late])
    return Evidence(label, in_force, effects, shown, _is_settled(fault, effect))


def stages(fault: ServiceFault, finding: Finding, effects: Iterable[Span]) -> Iterator[Stage]:
    """The phases that a fault has reached, in order; a phase that goes on ends FOREVER."""
    over = FOREVER if fault.recovered_at_us is None else fault.recovered_at_us
    applied = over if fault.applied_at_us is None else fault.applied_at_us
    commanded = over if fault.recovery_commanded_at_us is None else fault.recovery_commanded_at_us
    if fault.apply_commanded_at_us is not None:
        yield Stage("applying", Span(fault.apply_commanded_at_us, applied))
    if fault.applied_at_us is not None:
        yield Stage("active", Span(applied, commanded))
        yield Stage("recovering", Span(commanded, over))
        if fault.recovered_at_us is not None:
            yield Stage("after_effect", Span(over, _normal_us(over, finding, effects)))


def force_of(fault: ServiceFault) -> Span:
    """When a fault was in force; until FOREVER while it is, empty where it never was."""
    if fault.applied_at_us is None:
        return Span(0, 0)
    over = FOREVER if fault.recovered_at_us is None else fault.recovered_at_us
    return Span(fault.applied_at_us, max(fault.applied_at_us, over))


def finding_of(effect: FaultEffect | None, until_us: int) -> Finding:
    """What was found of an effect up to an instant: undecided where nobody has looked so far yet."""
    if effect is None or not (effect.is_final or effect.through_us >= until_us):
        return "undecided"
    return effect.finding


def role_of(declared: Role, finding: Finding) -> Role:
    """Part of a service in a fault, by what the fault says of it and what was found there."""
    if declared == "root_cause":
        return "root_cause"
    return "affected" if finding == "visible" else "exposed"


def covered_us(window: Span, spans: Iterable[Span]) -> int:
    """Microseconds of a window that lie in any of some spans."""
    covered, reached_us = 0, window.start_us
    for span in sorted(each.shared_with(window) for each in spans):
        covered += max(0, span.end_us - max(span.start_us, reached_us))
        reached_us = max(reached_us, span.end_us)
    return covered


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The stretches that some spans make, in order: those with little between them are one.

    Example:
        >>> joined([Span(8, 9), Span(3, 3), Span(2_000_000, 2_000_001)])
        (Span(start_us=8, end_us=9), Span(start_us=2000000, end_us=2000001))
    """
    found: list[Span] = []
    for span in sorted(each for each in spans if each.length_us):
        if found and span.start_us - found[-1].end_us < JOINED_US:
            found[-1] = Span(found[-1].start_us, max(found[-1].end_us, span.end_us))
        else:
            found.append(span)
    return tuple(found)


def _spans(starts_us: Sequence[int], ends_us: Sequence[int]) -> tuple[Span, ...]:
    """From each first deviating record to the last, the last included."""
    return tuple(Span(start, end + 1) for start, end in zip(starts_us, ends_us, strict=True))


def _normal_us(recovered_us: int, finding: Finding, effects: Iterable[Span]) -> int:
    """When the after-effect is over: after the last deviating record, or as late as it may be."""
    if finding == "inconclusive":
        return recovered_us + DOUBT_US
    latest_us = recovered_us + AFTER_EFFECT_US
    if finding == "undecided":
        return latest_us
    return min(latest_us, max([recovered_us, *(span.end_us for span in effects)]))


def _instances(fault: ServiceFault, window: Span) -> tuple[str, ...]:
    times = zip(fault.instances, fault.applied_us, fault.recovered_us, strict=True)
    return tuple(
        instance
        for instance, applied_us, recovered_us in times
        if Span(applied_us, recovered_us or FOREVER).shared_with(window).length_us > 0
    )


def _is_settled(fault: ServiceFault, effect: FaultEffect | None) -> bool:
    """Whether no more is measured of a fault, or nothing that is measured of it matters."""
    failed = fault.applied_at_us is None and fault.recovered_at_us is not None
    return failed or fault.severity == 0 or (effect is not None and effect.is_final)
