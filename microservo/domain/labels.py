"""From faults to the labels of a window.

The phases of a fault on a service, by its measured instants::

    apply commanded   applied        recovery commanded   recovered      normal again
          |--applying----|------active--------|--recovering---|--after effect--|
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from microservo.domain.watermarks import Passed
from schemas.records import Label, Phase, ServiceFault

FOREVER = 1 << 62
"""End of what has not ended yet, in microseconds UTC."""


class Stage(NamedTuple):
    """One phase of a fault, from its first instant to its end (not included)."""

    phase: Phase
    start_us: int
    end_us: int


def stages(fault: ServiceFault) -> Iterator[Stage]:
    """The phases that a fault has reached, in order; a phase that goes on ends FOREVER."""
    over = FOREVER if fault.recovered_at_us is None else fault.recovered_at_us
    applied = over if fault.applied_at_us is None else fault.applied_at_us
    commanded = over if fault.recovery_commanded_at_us is None else fault.recovery_commanded_at_us
    if fault.apply_commanded_at_us is not None:
        yield Stage("applying", fault.apply_commanded_at_us, applied)
    if fault.applied_at_us is not None:
        yield Stage("active", applied, commanded)
        yield Stage("recovering", commanded, over)
    if fault.normal_at_us is not None:
        yield Stage("after_effect", over, fault.normal_at_us)


def overlap_us(start_us: int, end_us: int, other_start_us: int, other_end_us: int) -> int:
    """Microseconds that two spans of time share."""
    return max(0, min(end_us, other_end_us) - max(start_us, other_start_us))


def label(fault: ServiceFault, start_us: int, end_us: int) -> Label | None:
    """What a fault means for the window [start, end); None where it does not touch it."""
    shares = [(overlap_us(start_us, end_us, s.start_us, s.end_us), s.phase) for s in stages(fault)]
    # max() keeps the first of equals: the earlier phase.
    longest, phase = max(shares, key=lambda share: share[0], default=(0, None))
    if phase is None or longest == 0:
        return None
    in_force = sum(share for share, phase_ in shares if phase_ in ("active", "recovering"))
    return Label(
        fault_id=fault.fault_id,
        kind=fault.kind,
        role=fault.role,
        root_service=fault.root_service,
        hops=fault.hops,
        phase=phase,
        overlap=in_force / (end_us - start_us),
        severity=fault.severity,
        verdict=fault.verdict,
    )


def is_anomalous(labels: tuple[Label, ...]) -> bool:
    """Whether a window counts as anomalous: a fault was in force and not shown to be without effect."""
    return any(found.overlap > 0 and found.verdict != "ineffective" for found in labels)


class FaultVersions:
    """Every version of every fault, each with the windows that it came too late for.

    Which versions a window may know is decided by the promise they travelled with, never by arrival. Among
    them the highest version holds.
    """

    def __init__(self) -> None:
        self._faults: dict[tuple[str, str], dict[str, dict[int, tuple[ServiceFault, Passed]]]] = {}

    def add(self, fault: ServiceFault, late: Passed) -> None:
        """Enters one version; of one that is entered again, the promise that was earliest counts."""
        versions = self._faults.setdefault((fault.run_id, fault.service), {}).setdefault(fault.fault_id, {})
        _, before = versions.get(fault.version, (fault, late))
        versions[fault.version] = (fault, min(before, late))

    def labels(
        self,
        run_id: str,
        service: str,
        start_us: int,
        end_us: int,
        *,
        revision: int,
        due_us: int | None = None,
    ) -> tuple[Label, ...]:
        """The labels of a window, sorted by fault id, as known at the cut of a revision.

        Cuts count from the window's end, or from `due_us` where it waits longer than others.
        """
        due_us = end_us if due_us is None else due_us
        found = []
        for _, versions in sorted(self._faults.get((run_id, service), {}).items()):
            known = [version for version, (_, late) in versions.items() if late[revision] < due_us]
            if known and (found_label := label(versions[max(known)][0], start_us, end_us)):
                found.append(found_label)
        return tuple(found)

    def ends_us(self, fault: ServiceFault) -> int:
        """When the newest version of a fault ends for good; FOREVER while it is open."""
        versions = self._faults.get((fault.run_id, fault.service), {}).get(fault.fault_id)
        if not versions:
            return -1
        newest = versions[max(versions)][0]
        if newest.recovered_at_us is None:
            return FOREVER
        return max(newest.recovered_at_us, newest.normal_at_us or 0)

    def forget(self, before_us: int) -> None:
        """Drops faults that ended before `before_us`: no window that is still open can need them."""
        for key, faults in list(self._faults.items()):
            for fault_id, versions in list(faults.items()):
                newest = versions[max(versions)][0]
                if self.ends_us(newest) < before_us:
                    del faults[fault_id]
            if not faults:
                del self._faults[key]
