"""Makes the looks at a fault, and dates what they found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from microservo.domain.effects.baselines import baseline_of
from microservo.domain.effects.cases import Case, Cases
from microservo.domain.effects.free_time import FreeTime
from microservo.domain.effects.histories import Histories
from microservo.domain.effects.measure_test import MeasureTest, View
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.effects.watch import Watch

_WARM_UP_US = 5_000_000
"""The first requests of a process are slow: they are no one's normal."""
_NEAR_PART = 0.75
"""Part of the rate of false alarms for the root cause and those that call it; the others have the rest."""


class Measurer:
    """Tests faults against the telemetry of services.

    Args:
        histories: telemetry of the services.
        cases: all faults.
        policy: rates, looks and bounds.
    """

    def __init__(self, histories: Histories, cases: Cases, policy: EffectPolicy) -> None:
        self._histories = histories
        self._cases = cases
        self._policy = policy

    def make_looks(self, case: Case, at_us: int) -> None:
        """Makes the looks at a fault that are due, and settles it when none is left."""
        fault = case.fault
        assert fault.begin_us is not None
        if case.is_tested:
            for look in self._policy.looks(fault.begin_us, fault.end_us):
                if look.at_us > at_us:
                    break
                if look.at_us > case.looked_us:
                    self._look(case, look.at_us, look.weight)
        if fault.end_us is not None and not case.is_settled:
            case.is_settled = not case.is_tested or self._is_last(case, at_us, fault.end_us)

    def measure(self, case: Case, at_us: int) -> None:
        """Dates what was found, from all records up to an instant."""
        for watch in case.watches.values():
            if watch.is_final:
                continue
            history = self._histories.of(watch.service)
            if watch.decisive is not None and history is not None:
                view = View(history=history, force=case.force, at_us=at_us)
                watch.measure(view, self._cases.rivals(case, watch))
            self._close(case, watch, at_us)

    def _is_last(self, case: Case, at_us: int, end_us: int) -> bool:
        """Whether all looks were made; those that had to wait for other faults make one more."""
        policy = self._policy
        if at_us < end_us + policy.settled_us[-1]:
            return False
        if self._cases.has_open_rivals(case) and at_us < end_us + policy.patience_us:
            case.has_waited = True
            return False
        if case.has_waited:
            self._look(case, at_us, policy.patience_weight)
        return True

    def _look(self, case: Case, at_us: int, weight: float) -> None:
        for watch in case.watches.values():
            if not watch.is_begun:
                watch.tests = list(self._tests(case, watch.service))
                watch.is_begun = True
        parts = _parts(case)
        for watch in case.watches.values():
            history = self._histories.of(watch.service)
            if history is not None and watch.tests:
                view = View(history=history, force=case.force, at_us=at_us)
                rivals = self._cases.rivals(case, watch)
                watch.look(view, rivals, parts[watch.service] * weight)
        case.looked_us = at_us

    def _tests(self, case: Case, service: str) -> Iterator[MeasureTest]:
        """The tests at a service for which it has a fault-free time."""
        fault, history = case.fault, self._histories.of(service)
        touched_us = fault.touched_us
        if history is None or history.first_us is None or touched_us is None:
            return
        first_us = max(history.first_us + _WARM_UP_US, touched_us - self._policy.kept_us)
        free = FreeTime(first_us, max(first_us, touched_us), self._cases.taken(case, service))
        record = fault.records[service]
        instances = record.instances if record.relation == "root" else ()
        peers = fault.peers(service)
        for measure in fault.measures(service):
            samples = history.samples(measure, peers, first_us, touched_us, instances=instances)
            samples = samples.where(free.holds(samples.begin_us, samples.end_us))
            baseline = baseline_of(measure, samples, free, self._policy)
            if baseline.is_known:
                yield MeasureTest(
                    measure, peers=peers, instances=instances, baseline=baseline, policy=self._policy
                )

    def _close(self, case: Case, watch: Watch, at_us: int) -> None:
        policy = self._policy
        begin_us, end_us = case.force
        if watch.decisive is None:
            watch.is_over = at_us >= end_us + policy.settled_us[-1] or case.is_settled
            watch.is_final = case.is_settled
            watch.through_us = at_us if case.is_settled else max(begin_us, at_us - policy.lag_us)
            return
        last_us = max((interval.end_us for interval in watch.intervals), default=begin_us)
        is_normal = at_us >= last_us + policy.normal_after_us
        watch.through_us = at_us
        watch.is_over = at_us >= end_us and (is_normal or at_us >= end_us + policy.watched_us)
        watch.is_final = case.is_settled and watch.is_over
        watch.is_open = not is_normal and not watch.is_final
        if watch.is_final and not is_normal:
            *before, last = watch.intervals
            watch.intervals = [*before, replace(last, end_within_us=None)]


def _parts(case: Case) -> dict[str, float]:
    """The part of the rate of false alarms that each test at a service has."""
    tests = {watch.service: len(watch.tests) for watch in case.watches.values()}
    near = sum(count for service, count in tests.items() if case.fault.is_near(service))
    far = sum(tests.values()) - near
    near_part = _NEAR_PART if far else 1.0
    far_part = 1 - _NEAR_PART if near else 1.0
    return {
        service: near_part / max(near, 1) if case.fault.is_near(service) else far_part / max(far, 1)
        for service in tests
    }
