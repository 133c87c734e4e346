"""What was told of faults and their effects in a run, version by version.

Which versions a window may know is decided by the promise they travelled with, never by arrival. Among them
the highest version holds.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from microservo.domain.labels import AFTER_EFFECT_US, FOREVER, Span, evidence
from microservo.domain.truth import NO_FAULTS, WindowTruth, window_truth
from microservo.domain.watermarks import UNKNOWN, Cut, Passed
from schemas.records import FaultEffect, ServiceAction, ServiceFault

Versioned = TypeVar("Versioned", ServiceFault, FaultEffect, ServiceAction)


class Versions(Generic[Versioned]):
    """The versions of one record, each with the windows that it came too late for."""

    def __init__(self) -> None:
        self._versions: dict[int, tuple[Versioned, Passed]] = {}

    def add(self, record: Versioned, late: Passed) -> None:
        """Enters one version; of one that is entered again, the promise that was earliest counts."""
        _, before = self._versions.get(record.version, (record, late))
        earliest = Passed(*map(min, late, before))
        self._versions[record.version] = (record, earliest)

    @property
    def newest(self) -> Versioned | None:
        """The highest version there is."""
        return self._versions[max(self._versions)][0] if self._versions else None

    def known_at(self, cut: Cut) -> Versioned | None:
        """The highest version that is on time for a cut."""
        known = [version for version, (_, late) in self._versions.items() if cut.is_in_time(late)]
        return self._versions[max(known)][0] if known else None

    def forget(self, before_us: int) -> None:
        """Drops versions that no cut due after `before_us` asks for, since it knows a higher one."""
        first_us = FOREVER
        is_known = False
        for version, (_, late) in sorted(self._versions.items(), reverse=True):
            if late.final_us >= before_us:
                continue
            # A writer that revision 0 never waits for is late for every one: no cut is due as late as that.
            late_us = min(FOREVER, late.first_us)
            if is_known and first_us <= max(before_us, late_us):
                del self._versions[version]
            is_known, first_us = True, min(first_us, late_us)

    @property
    def late_until_us(self) -> int:
        """Windows that end later are in time for all versions; UNKNOWN where there is none."""
        return max((late.final_us for _, late in self._versions.values()), default=UNKNOWN)

    def were_read_by(self, final_us: int) -> bool:
        """Whether all that was told before was read, once windows are final up to an instant."""
        return self.late_until_us < final_us


class _Concern(NamedTuple):
    """One fault at one service: what the mechanism says of it, and what was measured there."""

    fault: Versions[ServiceFault]
    effect: Versions[FaultEffect]

    def ends_us(self) -> int:
        """End of the last stretch that it may have a label in; UNKNOWN where the fault itself is unknown."""
        newest = self.fault.newest
        if newest is None:
            return UNKNOWN
        return FOREVER if newest.recovered_at_us is None else newest.recovered_at_us + AFTER_EFFECT_US

    def is_over(self, final_us: int) -> bool:
        """Whether no window that ends later can need it.

        An effect may be read before its fault, but was measured after it: the fault of one that is still
        unknown when time has passed the effect was forgotten.
        """
        return self.ends_us() < final_us and self.effect.were_read_by(final_us)


class FaultVersions:
    """The faults of one run and their effects, by the services that they concern."""

    def __init__(self) -> None:
        self._services: dict[str, dict[str, _Concern]] = {}

    def add_fault(self, fault: ServiceFault, late: Passed) -> None:
        """Enters one version of a fault, with the windows that it came too late for."""
        self._concern(fault.service, fault.fault_id).fault.add(fault, late)

    def add_effect(self, effect: FaultEffect, late: Passed) -> None:
        """Enters one version of what was measured of a fault, likewise."""
        self._concern(effect.service, effect.fault_id).effect.add(effect, late)

    def truth(self, service: str, window: Span, cut: Cut, *, is_observed: bool) -> tuple[WindowTruth, bool]:
        """The truth about a window as known at a cut, and whether nothing will change it any more.

        Args:
            service: of which the window is.
            window: its start and end.
            cut: by which versions must have been promised.
            is_observed: whether anybody measures effects, so that more of them may come.
        """
        concerns = self._services.get(service)
        if not concerns:
            return NO_FAULTS, True
        found = [
            each
            for _, concern in sorted(concerns.items())
            if (fault := concern.fault.known_at(cut)) is not None
            and (each := evidence(fault, concern.effect.known_at(cut), window)) is not None
        ]
        return window_truth(found, window), not is_observed or all(each.is_settled for each in found)

    def ends_us(self, service: str, fault_id: str) -> int:
        """Until when a fault may have a label at a service, by what is known now.

        FOREVER while it is open, UNKNOWN where it is not known, or not any more.
        """
        concern = self._services.get(service, {}).get(fault_id)
        return UNKNOWN if concern is None else concern.ends_us()

    def forget(self, before_us: int) -> None:
        """Drops what no window that ends later than `before_us` can need."""
        for service, concerns in list(self._services.items()):
            for fault_id, concern in list(concerns.items()):
                if concern.is_over(before_us):
                    del concerns[fault_id]
                else:
                    concern.fault.forget(before_us)
                    concern.effect.forget(before_us)
            if not concerns:
                del self._services[service]

    def _concern(self, service: str, fault_id: str) -> _Concern:
        concerns = self._services.setdefault(service, {})
        if fault_id not in concerns:
            concerns[fault_id] = _Concern(Versions(), Versions())
        return concerns[fault_id]
