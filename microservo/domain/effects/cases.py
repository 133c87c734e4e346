"""The faults under observation, and what each of them means for the others."""

from __future__ import annotations

from collections.abc import Iterator

from microservo.domain.effects.fault import ObservedFault
from microservo.domain.effects.free_time import Span
from microservo.domain.effects.measure_test import Rival
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.effects.watch import Watch
from schemas.records import FaultEffect, ServiceFault

_NEVER_US = 1 << 62
_GUARD_US = 1_000_000
"""So much time after a fault counts for nothing."""


class Case:
    """One fault, the services that it may reach, and how far it was looked at.

    Attributes:
        looked_us: the last look, microseconds UTC.
        is_settled: all looks were made.
        is_closed: the verdict is final.
    """

    def __init__(self, fault: ObservedFault, policy: EffectPolicy) -> None:
        self.fault = fault
        self.watches: dict[str, Watch] = {}
        self.looked_us = -1
        self.has_waited = False
        self.is_settled = False
        self.is_closed = False
        self._policy = policy

    def update(self, record: ServiceFault) -> None:
        """Takes over what is known of the fault at one service."""
        self.fault.update(record)
        if record.service not in self.watches and not self.is_closed:
            self.watches[record.service] = Watch(record.service, self._policy)

    @property
    def force(self) -> Span:
        """From when until when records are tested."""
        begin_us, end_us = self.fault.begin_us, self.fault.end_us
        assert begin_us is not None
        return begin_us, _NEVER_US if end_us is None else max(end_us, begin_us + self._policy.shortest_us)

    @property
    def is_tested(self) -> bool:
        """Whether there is anything to look for."""
        return not self.fault.contract.is_empty and self.fault.has_acted


class Cases:
    """All faults of a run that may matter still.

    Args:
        policy: rates and bounds.
        published: the newest effect of each fault and service, also from before a restart.
    """

    def __init__(self, policy: EffectPolicy, published: dict[tuple[str, str], FaultEffect]) -> None:
        self._policy = policy
        self._published = published
        self._cases: dict[str, Case] = {}

    def update(self, record: ServiceFault, *, is_closed: bool) -> None:
        """Takes over a fault as it concerns one service."""
        case = self._cases.get(record.fault_id)
        if case is None:
            case = self._cases[record.fault_id] = Case(ObservedFault(record), self._policy)
            case.is_closed = is_closed
        case.update(record)

    def open(self) -> list[Case]:
        """Faults that were applied and have no final verdict, the first applied first."""
        found = [
            (case.fault.begin_us, fault_id, case)
            for fault_id, case in self._cases.items()
            if case.fault.begin_us is not None and not case.is_closed
        ]
        return [case for _, _, case in sorted(found, key=lambda each: each[:2])]

    def taken(self, case: Case, service: str) -> Iterator[Span]:
        """The time of a service that belongs to other faults."""
        for other in self._cases.values():
            touched_us = other.fault.touched_us if service in other.fault.records else None
            if other is not case and touched_us is not None and not other.fault.contract.is_empty:
                yield touched_us, self._over_us(other, service)[0]

    def rivals(self, case: Case, watch: Watch) -> list[list[Rival]]:
        """Of each test at a service, the other faults that may explain what it measures."""
        others = list(self._others(case))
        return [
            [
                self._rival(other, watch.service)
                for other in others
                if other.fault.explains(watch.service, test.measure, test.peers)
            ]
            for test in watch.tests
        ]

    def has_open_rivals(self, case: Case) -> bool:
        """Whether it isn't certain yet until when another fault explains what was measured here."""
        begin_us, end_us = case.force
        return any(
            not rival.is_over and rival.span[0] < end_us and rival.span[1] > begin_us
            for watch in case.watches.values()
            for rivals in self.rivals(case, watch)
            for rival in rivals
        )

    def forget(self, before_us: int) -> None:
        """Drops what is closed: its tests, and all of it if it was over before the telemetry that is kept."""
        for fault_id, case in list(self._cases.items()):
            if case.is_closed:
                case.watches.clear()
                if (case.fault.end_us or 0) < before_us:
                    del self._cases[fault_id]

    def _others(self, case: Case) -> Iterator[Case]:
        """The faults of which something may be seen while this one is in force, or watched after it."""
        begin_us, end_us = case.force
        around_us = self._policy.watched_us + self._policy.normal_after_us
        for other in self._cases.values():
            touched_us, over_us = other.fault.touched_us, other.fault.end_us
            if (
                other is not case
                and touched_us is not None
                and touched_us < end_us + around_us
                and (over_us is None or over_us + around_us > begin_us)
            ):
                yield other

    def _rival(self, other: Case, service: str) -> Rival:
        touched_us = other.fault.touched_us
        assert touched_us is not None
        over_us, is_over = self._over_us(other, service)
        return Rival(fault_id=other.fault.fault_id, span=(touched_us, over_us), is_over=is_over)

    def _over_us(self, other: Case, service: str) -> tuple[int, bool]:
        """Until when a fault explains what a service does, and whether that is certain."""
        end_us = other.fault.end_us
        if end_us is None:
            return _NEVER_US, False
        watch, effect = other.watches.get(service), self._published.get((other.fault.fault_id, service))
        if watch is not None:
            last_us = max([end_us, *(interval.end_us for interval in watch.intervals)])
            is_over = watch.is_over
        else:
            last_us = max([end_us, *(effect.ends_us if effect is not None else ())])
            is_over = True
        return last_us + (_GUARD_US if is_over else self._policy.normal_after_us), is_over
