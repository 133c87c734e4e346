"""The effect observer of one run: telemetry and faults in, effects and verdicts out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from microservo.domain.effects.cases import Case, Cases
from microservo.domain.effects.histories import Histories
from microservo.domain.effects.measurer import Measurer
from microservo.domain.effects.policy import EffectPolicy
from microservo.domain.effects.report import effect_of, verdict_of
from microservo.domain.telemetry import Batch
from schemas.records import FaultEffect, FaultVerdict, ServiceFault


class EffectObserver:
    """Measures what each fault of a run does to each service that it may reach.

    Everything happens in event time, step by step: the same telemetry and faults give the same findings,
    however often `advance` is called.

    Args:
        run_id: of the run.
        policy: rates, looks and bounds.
        histories: telemetry that other observers look at too; one of them, or who made it, adds to it. An
            observer has its own by default.
    """

    def __init__(
        self,
        run_id: str,
        *,
        policy: EffectPolicy = EffectPolicy(),  # noqa: B008 - frozen
        histories: Histories | None = None,
    ) -> None:
        self._run_id = run_id
        self._policy = policy
        self._histories = histories or Histories(run_id, policy.kept_us)
        self._effects: dict[tuple[str, str], FaultEffect] = {}
        self._verdicts: dict[str, FaultVerdict] = {}
        self._cases = Cases(policy, self._effects)
        self._measurer = Measurer(self._histories, self._cases, policy)
        self._step = 0

    def resume(self, records: Iterable[FaultEffect | FaultVerdict]) -> None:
        """Goes on behind what was published before a restart: versions grow, what was final stays."""
        for record in records:
            if record.run_id != self._run_id:
                continue
            if isinstance(record, FaultVerdict):
                verdict = self._verdicts.get(record.fault_id)
                if verdict is None or record.version >= verdict.version:
                    self._verdicts[record.fault_id] = record
            else:
                key = (record.fault_id, record.service)
                if key not in self._effects or record.version >= self._effects[key].version:
                    self._effects[key] = record

    def telemetry(self, batch: Batch) -> None:
        """Remembers telemetry, in any order; what comes again counts once."""
        self._histories.add(batch)

    def fault(self, fault: ServiceFault) -> None:
        """Takes over a fault as it concerns one service; the highest version holds."""
        if fault.run_id == self._run_id:
            verdict = self._verdicts.get(fault.fault_id)
            self._cases.update(fault, is_closed=verdict is not None and verdict.is_final)

    def advance(self, watermark_us: int) -> list[FaultEffect | FaultVerdict]:
        """What is new: all telemetry up to the watermark has come, but for what is late.

        Args:
            watermark_us: microseconds UTC; should never fall.
        """
        steps = self._steps(watermark_us)
        for step in steps:
            at_us = step * self._policy.report_us
            cases = [case for case in self._cases.open() if at_us >= case.force[0]]
            for case in cases:
                self._measurer.make_looks(case, at_us)
            for case in cases:
                self._measurer.measure(case, at_us)
        if not steps:
            return []
        changed = [record for case in self._cases.open() for record in self._publish(case)]
        self._cases.forget(watermark_us - self._policy.kept_us)
        return changed

    def _steps(self, watermark_us: int) -> range:
        """The instants to go through, in units of `report_us`; none while no fault is open."""
        last = watermark_us // self._policy.report_us
        cases = self._cases.open()
        first = self._step + 1 if self._step else min((case.force[0] for case in cases), default=0)
        if not self._step:
            first //= self._policy.report_us
        self._step = max(last, self._step)
        return range(first, last + 1) if cases else range(0)

    def _publish(self, case: Case) -> Iterator[FaultEffect | FaultVerdict]:
        watches = list(case.watches.values())
        for watch in watches:
            effect = effect_of(case.fault, watch, is_settled=case.is_settled)
            key = (effect.fault_id, effect.service)
            last = self._effects.get(key)
            if last is None or (not last.is_final and replace(effect, version=last.version) != last):
                self._effects[key] = replace(effect, version=1 if last is None else last.version + 1)
                yield self._effects[key]
        is_final = case.is_settled and all(watch.is_final for watch in watches)
        verdict = verdict_of(case.fault, watches, is_final=is_final)
        if verdict is not None:
            known = self._verdicts.get(verdict.fault_id)
            if known is None or replace(verdict, version=known.version) != known:
                version = 1 if known is None else known.version + 1
                self._verdicts[verdict.fault_id] = replace(verdict, version=version)
                yield self._verdicts[verdict.fault_id]
        case.is_closed = is_final
