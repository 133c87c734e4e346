"""What was true of the faults of a run: where each was visible and when, and which one a case is of."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from microservo.domain.scoring import Fault, Incident
from schemas.records import Case, FaultEffect, FaultVerdict, ServiceFault

OPEN_US = 1 << 62
"""End of what goes on."""
ORACLE_US = 60_000_000
"""A case of the oracle shows at most so much of a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spell:
    """A stretch in which a fault was visible at a service; microseconds UTC."""

    fault_id: str
    service: str
    start_us: int
    end_us: int


class FaultFacts:
    """The newest versions of all that is known of the faults of a run.

    A fault without a severity is a control of the injector, and nobody's to find.
    """

    def __init__(self) -> None:
        self._faults: dict[str, ServiceFault] = {}
        """Of each fault, the newest record at its root."""
        self._effects: dict[tuple[str, str], FaultEffect] = {}
        self._final: set[str] = set()

    def add(self, record: ServiceFault | FaultEffect | FaultVerdict) -> bool:
        """Adds a version of a record; whether it changed anything. The highest holds, not the last."""
        if isinstance(record, FaultVerdict):
            is_new = record.is_final and record.fault_id not in self._final
            if is_new:
                self._final.add(record.fault_id)
            return is_new
        if isinstance(record, ServiceFault):
            known = self._faults.get(record.fault_id)
            is_root = record.service == record.root_service
            if not is_root or (known is not None and known.version >= record.version):
                return False
            self._faults[record.fault_id] = record
            return True
        key = (record.fault_id, record.service)
        if key in self._effects and self._effects[key].version >= record.version:
            return False
        self._effects[key] = record
        return True

    def incidents(self) -> list[Incident]:
        """Each fault at each service where it is visible, by service, start and fault."""
        found = []
        for (fault_id, service), effect in self._effects.items():
            fault = self._faults.get(fault_id)
            if not _is_visible(effect) or fault is None or not _counts(fault) or fault.applied_at_us is None:
                continue
            found.append(
                Incident(
                    fault_id=fault_id,
                    kind=fault.kind,
                    service=service,
                    severity=fault.severity,
                    start_us=effect.starts_us[0],
                    end_us=max(_end_us(effect), effect.starts_us[0] + 1),
                    applied_us=fault.applied_at_us,
                    effect_us=effect.starts_us[0],
                )
            )
        return sorted(found, key=lambda each: (each.service, each.start_us, each.fault_id))

    def faults(self, services: Collection[str], from_us: int, until_us: int | None) -> list[Fault]:
        """What has a cause to be found among these services: what is visible at one of them, by fault.

        Args:
            services: those whose windows there are.
            from_us: what began to be visible before is left out.
            until_us: likewise what began later.
        """
        starts_us: dict[str, int] = {}
        for each in self.incidents():
            if each.service in services:
                starts_us[each.fault_id] = min(each.start_us, starts_us.get(each.fault_id, OPEN_US))
        return [
            Fault(
                fault_id=fault_id,
                kind=self._faults[fault_id].kind,
                severity=self._faults[fault_id].severity,
                answers=frozenset({self._faults[fault_id].root_service}),
                candidates=len(services),
            )
            for fault_id, start_us in sorted(starts_us.items())
            if self._faults[fault_id].root_service in services
            and start_us >= from_us
            and (until_us is None or start_us < until_us)
        ]

    def fault_of(self, case: Case, window_us: int) -> str | None:
        """The fault that a case is of; None where there is none, so that the case is false.

        It is one that is visible in the window that opened the case, at the case's own service before
        others; else one that is in force. Of several, the one that began last.

        Args:
            case: of an alarm, or of the oracle.
            window_us: length of a window in microseconds.
        """
        if case.origin == "oracle":
            return next((each for each in sorted(self._faults) if oracle_case_id(each) == case.case_id), None)
        from_us, until_us = case.opened_us - window_us, case.opened_us
        visible = [
            (each.service == case.service, each.start_us, each.fault_id)
            for each in self._spells()
            if each.start_us < until_us and each.end_us >= from_us
        ]
        in_force = [
            (False, each.applied_at_us, each.fault_id)
            for each in self._faults.values()
            if _counts(each)
            and each.applied_at_us is not None
            and each.applied_at_us < until_us
            and (each.recovered_at_us is None or each.recovered_at_us >= from_us)
        ]
        return max(visible or in_force)[-1] if visible or in_force else None

    def oracle_cases(self, run_id: str, window_us: int, *, now_us: int) -> Iterator[Case]:
        """A case for each fault that was visible and that nothing more will be known of.

        It opens with the first effect, and shows the fault until it was over, but no longer than a minute.
        """
        for fault_id in sorted(self._final & self._faults.keys()):
            fault = self._faults[fault_id]
            starts_us = [each.start_us for each in self._spells() if each.fault_id == fault_id]
            if not starts_us:
                continue
            opened_us = min(starts_us)
            over_us = fault.recovered_at_us or OPEN_US
            yield Case(
                run_id=run_id,
                case_id=oracle_case_id(fault_id),
                origin="oracle",
                detector="",
                detector_version=0,
                service="",
                opened_us=opened_us,
                until_us=max(min(over_us, opened_us + ORACLE_US), opened_us + window_us),
                published_at_us=now_us,
            )

    def _spells(self) -> Iterator[_Spell]:
        for (fault_id, service), effect in self._effects.items():
            fault = self._faults.get(fault_id)
            if fault is None or not _counts(fault) or not _is_visible(effect):
                continue
            ends_us = [*effect.ends_us[:-1], OPEN_US if effect.is_open else effect.ends_us[-1]]
            for start_us, end_us in zip(effect.starts_us, ends_us, strict=True):
                yield _Spell(fault_id=fault_id, service=service, start_us=start_us, end_us=end_us)


def oracle_case_id(fault_id: str) -> str:
    """Identity of the oracle's case of a fault, from which nobody learns which fault that is."""
    return f"oracle-{hashlib.sha256(fault_id.encode()).hexdigest()[:16]}"


def _counts(fault: ServiceFault) -> bool:
    return fault.severity > 0


def _is_visible(effect: FaultEffect) -> bool:
    return effect.finding == "visible" and bool(effect.starts_us)


def _end_us(effect: FaultEffect) -> int:
    """When it was over, as far as that is known."""
    until_us = [effect.through_us] if effect.is_open else []
    return max((*effect.ends_us, *effect.late_ends_us, *until_us))
