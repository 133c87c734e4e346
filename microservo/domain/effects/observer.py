"""The effect observer of one run: telemetry and faults in, effects and verdicts out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from microservo.domain.effects.baselines import baseline_of
from microservo.domain.effects.fault import ObservedFault
from microservo.domain.effects.free_time import FreeTime, Span
from microservo.domain.effects.history import History
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.effects.report import effect_of, verdict_of
from microservo.domain.effects.watch import Rival, Test, Watch
from microservo.domain.telemetry import Batch
from schemas.records import FaultEffect, FaultVerdict, LogBatch, ServiceFault, SpanBatch

_NEVER_US = 1 << 62
_WARM_UP_US = 5_000_000
"""The first requests of a process are slow: they are no one's normal."""
_GUARD_US = 1_000_000
"""So much time after a fault counts for nothing."""
_NEAR_PART = 0.75
"""Part of the rate of false alarms for the root cause and those that call it; the others have the rest."""


class EffectObserver:
    """Measures what each fault of a run does to each service that it may reach.

    Everything happens in event time: the same telemetry and faults give the same findings, however often
    `advance` is called.

    Args:
        run_id: of the run.
        policy: rates, looks and bounds.
    """

    def __init__(self, run_id: str, *, policy: EffectPolicy = EffectPolicy()) -> None:  # noqa: B008 - frozen
        self._run_id = run_id
        self._policy = policy
        self._histories: dict[str, History] = {}
        self._faults: dict[str, ObservedFault] = {}
        self._watches: dict[str, dict[str, Watch]] = {}
        self._looked_us: dict[str, int] = {}
        self._closed: set[str] = set()
        self._effects: dict[tuple[str, str], FaultEffect] = {}
        self._verdicts: dict[str, FaultVerdict] = {}
        self._ticked = -1

    def resume(self, records: Iterable[FaultEffect | FaultVerdict]) -> None:
        """Goes on behind what was published before a restart: versions grow, what was final stays."""
        for record in records:
            if record.run_id != self._run_id:
                continue
            if isinstance(record, FaultVerdict):
                known = self._verdicts.get(record.fault_id)
                if known is None or record.version >= known.version:
                    self._verdicts[record.fault_id] = record
                    if record.is_final:
                        self._closed.add(record.fault_id)
            else:
                key = (record.fault_id, record.service)
                if key not in self._effects or record.version >= self._effects[key].version:
                    self._effects[key] = record

    def telemetry(self, batch: Batch) -> None:
        """Remembers telemetry, in any order; what comes again counts once."""
        if batch.run_id != self._run_id or isinstance(batch, LogBatch):
            return
        history = self._histories.get(batch.service)
        if history is None:
            history = self._histories[batch.service] = History(self._policy.kept_us)
        if isinstance(batch, SpanBatch):
            history.add_spans(batch)
        else:
            history.add_points(batch)

    def fault(self, fault: ServiceFault) -> None:
        """Takes over a fault as it concerns one service; the highest version holds."""
        if fault.run_id != self._run_id:
            return
        known = self._faults.setdefault(fault.fault_id, ObservedFault(fault))
        known.update(fault)
        self._watches.setdefault(fault.fault_id, {}).setdefault(
            fault.service, Watch(fault.service, self._policy)
        )

    def advance(self, watermark_us: int) -> list[FaultEffect | FaultVerdict]:
        """What is new: all telemetry up to the watermark has come, but for what is late.

        Args:
            watermark_us: microseconds UTC; should never fall.
        """
        for fault in self._open_faults():
            self._make_looks(fault, watermark_us)
        tick = watermark_us // self._policy.report_us
        is_tick, self._ticked = tick > self._ticked, max(tick, self._ticked)
        changed: list[FaultEffect | FaultVerdict] = []
        for fault in self._open_faults():
            if is_tick:
                self._measure(fault, watermark_us)
            changed += self._publish(fault, watermark_us, is_tick=is_tick)
        self._forget(watermark_us)
        return changed

    def _open_faults(self) -> list[ObservedFault]:
        """Faults that were applied and have no final verdict, the first applied first."""
        return sorted(
            (
                fault
                for fault in self._faults.values()
                if fault.begin_us is not None and fault.fault_id not in self._closed
            ),
            key=lambda fault: (fault.begin_us, fault.fault_id),
        )

    # Looks

    def _make_looks(self, fault: ObservedFault, watermark_us: int) -> None:
        begin_us, end_us = fault.begin_us, fault.end_us
        assert begin_us is not None
        if fault.contract.is_empty or not fault.has_acted:
            return
        looked_us = self._looked_us.get(fault.fault_id, -1)
        for look in self._policy.looks(begin_us, end_us):
            if look.at_us > watermark_us:
                break
            if look.at_us > looked_us and not self._is_settled(fault, look.at_us - 1):
                self._look(fault, look.at_us, look.weight)
                self._looked_us[fault.fault_id] = look.at_us

    def _look(self, fault: ObservedFault, at_us: int, weight: float) -> None:
        watches = list(self._watches[fault.fault_id].values())
        for watch in watches:
            if not watch.is_begun:
                watch.tests = list(self._tests(fault, watch.service))
                watch.is_begun = True
        parts = _parts(fault, watches)
        for watch in watches:
            history = self._histories.get(watch.service)
            if history is not None and watch.tests:
                alphas = dict.fromkeys(range(len(watch.tests)), parts[watch.service] * weight)
                watch.look(history, self._force(fault), at_us, self._rivals(fault, watch), alphas)

    def _tests(self, fault: ObservedFault, service: str) -> Iterator[Test]:
        """The tests at a service for which it has a fault-free time."""
        history = self._histories.get(service)
        touched_us = fault.touched_us
        if history is None or history.first_us is None or touched_us is None:
            return
        first_us = max(history.first_us + _WARM_UP_US, touched_us - self._policy.kept_us)
        free = FreeTime(first_us, max(first_us, touched_us), self._taken(fault, service))
        record = fault.records[service]
        instances = record.instances if record.relation == "root" else ()
        for measure in fault.measures(service):
            peers = fault.peers(service)
            samples = history.samples(measure, peers, first_us, touched_us, instances=instances)
            samples = samples.where(free.holds(samples.begin_us, samples.end_us))
            baseline = baseline_of(measure, samples, free, self._policy)
            if baseline.is_known:
                yield Test(measure=measure, peers=peers, instances=instances, baseline=baseline)

    def _force(self, fault: ObservedFault) -> Span:
        """From when until when records are tested."""
        begin_us, end_us = fault.begin_us, fault.end_us
        assert begin_us is not None
        return begin_us, _NEVER_US if end_us is None else max(end_us, begin_us + self._policy.shortest_us)

    # Other faults

    def _taken(self, fault: ObservedFault, service: str) -> Iterator[Span]:
        """The time of a service that belongs to other faults."""
        for other in self._faults.values():
            touched_us = other.touched_us if service in other.records else None
            if other is not fault and touched_us is not None and not other.contract.is_empty:
                yield touched_us, self._over_us(other, service)[0] + _GUARD_US

    def _rivals(self, fault: ObservedFault, watch: Watch) -> dict[int, list[Rival]]:
        """Of each test by its place, the other faults that may explain what it measures."""
        others = list(self._others(fault))
        return {
            place: [
                self._rival(other, watch.service)
                for other in others
                if other.explains(watch.service, test.measure, test.peers)
            ]
            for place, test in enumerate(watch.tests)
        }

    def _others(self, fault: ObservedFault) -> Iterator[ObservedFault]:
        """The faults of which something may be seen while this one is in force, or watched after it."""
        begin_us, end_us = self._force(fault)
        around_us = self._policy.watched_us + self._policy.normal_after_us
        for other in self._faults.values():
            touched_us, over_us = other.touched_us, other.end_us
            if (
                other is not fault
                and touched_us is not None
                and touched_us < end_us + around_us
                and (over_us is None or over_us + around_us > begin_us)
            ):
                yield other

    def _rival(self, other: ObservedFault, service: str) -> Rival:
        over_us, is_settled = self._over_us(other, service)
        assert other.touched_us is not None
        return Rival(fault_id=other.fault_id, span=(other.touched_us, over_us), is_settled=is_settled)

    def _over_us(self, other: ObservedFault, service: str) -> tuple[int, bool]:
        """Until when a fault explains what a service does, and whether that is certain."""
        end_us = other.end_us
        if end_us is None:
            return _NEVER_US, False
        effect = self._effects.get((other.fault_id, service))
        last_us = max(effect.ends_us, default=end_us) if effect is not None else end_us
        if effect is not None and effect.is_final:
            return max(end_us, last_us) + _GUARD_US, True
        return max(end_us, last_us) + self._policy.normal_after_us, False

    def _has_open_rivals(self, fault: ObservedFault) -> bool:
        begin_us, end_us = self._force(fault)
        return any(
            not rival.is_settled and rival.span[0] < end_us and rival.span[1] > begin_us
            for watch in self._watches[fault.fault_id].values()
            for rivals in self._rivals(fault, watch).values()
            for rival in rivals
        )

    def _is_settled(self, fault: ObservedFault, at_us: int) -> bool:
        """Whether all looks at a fault that will be made were made by an instant."""
        end_us = fault.end_us
        if end_us is None:
            return False
        if fault.contract.is_empty or not fault.has_acted:
            return at_us >= end_us
        *_, second_us, last_us = self._policy.settled_us
        if at_us < end_us + second_us:
            return False
        return at_us >= end_us + last_us or not self._has_open_rivals(fault)

    # Findings

    def _measure(self, fault: ObservedFault, watermark_us: int) -> None:
        """Dates what was found, from all records up to the watermark."""
        is_settled = self._is_settled(fault, watermark_us)
        for watch in self._watches[fault.fault_id].values():
            if watch.is_final:
                continue
            history = self._histories.get(watch.service)
            if watch.decisive is not None and history is not None:
                watch.measure(history, self._force(fault), watermark_us, self._rivals(fault, watch))
            self._close(fault, watch, watermark_us, is_settled=is_settled)

    def _close(self, fault: ObservedFault, watch: Watch, watermark_us: int, *, is_settled: bool) -> None:
        policy = self._policy
        begin_us, end_us = fault.begin_us, fault.end_us
        assert begin_us is not None
        if watch.decisive is None:
            watch.is_final = is_settled
            watch.through_us = watermark_us if is_settled else max(begin_us, watermark_us - policy.lag_us)
            return
        last_us = max((interval.end_us for interval in watch.intervals), default=begin_us)
        watch.through_us = watermark_us
        is_normal = watermark_us >= last_us + policy.normal_after_us
        given_up = end_us is not None and watermark_us >= end_us + policy.watched_us
        watch.is_final = is_settled and (is_normal or given_up)
        watch.is_open = not is_normal and not watch.is_final
        if watch.is_final and not is_normal:
            *before, last = watch.intervals
            watch.intervals = [*before, replace(last, end_within_us=None)]

    def _publish(
        self, fault: ObservedFault, watermark_us: int, *, is_tick: bool
    ) -> Iterator[FaultEffect | FaultVerdict]:
        if not is_tick:
            return
        is_settled = self._is_settled(fault, watermark_us)
        watches = list(self._watches[fault.fault_id].values())
        for watch in watches:
            effect = effect_of(fault, watch, is_settled=is_settled)
            key = (fault.fault_id, watch.service)
            last = self._effects.get(key)
            version = 1 if last is None else last.version
            if last is None or (not last.is_final and replace(effect, version=last.version) != last):
                self._effects[key] = replace(effect, version=version if last is None else version + 1)
                yield self._effects[key]
        is_final = is_settled and all(watch.is_final for watch in watches)
        verdict = verdict_of(fault, watches, is_final=is_final)
        known = self._verdicts.get(fault.fault_id)
        if verdict is not None and (known is None or replace(verdict, version=known.version) != known):
            self._verdicts[fault.fault_id] = replace(
                verdict, version=1 if known is None else known.version + 1
            )
            yield self._verdicts[fault.fault_id]
        if is_final:
            self._closed.add(fault.fault_id)

    def _forget(self, watermark_us: int) -> None:
        """Drops the tests of what is over, and all of what no fault-free time remembers."""
        for fault_id in self._closed & self._watches.keys():
            del self._watches[fault_id]
        old = [
            fault_id
            for fault_id, fault in self._faults.items()
            if fault_id in self._closed and (fault.end_us or 0) < watermark_us - self._policy.kept_us
        ]
        for fault_id in old:
            del self._faults[fault_id]


def _parts(fault: ObservedFault, watches: list[Watch]) -> dict[str, float]:
    """The part of the rate of false alarms that each test at a service has."""
    near = sum(len(watch.tests) for watch in watches if fault.is_near(watch.service))
    far = sum(len(watch.tests) for watch in watches) - near
    near_part = _NEAR_PART if far else 1.0
    far_part = 1 - _NEAR_PART if near else 1.0
    return {
        watch.service: near_part / near if fault.is_near(watch.service) else far_part / max(far, 1)
        for watch in watches
    }
