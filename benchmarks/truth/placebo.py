"""Virtual faults on fault-free telemetry: what the observer says of them is false, however it came to it.

A pass replays a recording as the live process would read it. Each virtual fault has an observer of its own,
which finds what it would if it were alone; what they share is the telemetry, which is read once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.truth.recording import Recording
from benchmarks.truth.strengths import fault_of
from benchmarks.truth.trials import S, Trial
from microservo.domain.effects import EffectObserver, EffectPolicy, Histories
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.graph import OUTSIDE, exposed_services
from schemas.records import FaultEffect, FaultVerdict, ServiceFault

EARLIER_US = 2 * S
"""How far event time is behind what happens now: an injector tells of it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was said of a virtual fault.

    Attributes:
        verdict: the last one; "pending" if there was none.
        affected: services that it was found to show on.
        exposed: how many were looked at.
        evidence: of the verdict, and of what is false, in words.
    """

    trial: Trial
    verdict: str
    affected: tuple[str, ...]
    exposed: int
    evidence: tuple[str, ...]


def run_pass(recording: Recording, trials: Sequence[Trial]) -> list[Judged]:
    """What observers say of these trials, each of which is the only fault that its observer knows of."""
    histories = Histories(recording.described.run_id, EffectPolicy().kept_us)
    waiting = deque(sorted(trials, key=lambda trial: trial.applied_us))
    findings = {trial.fault_id: Findings(trial) for trial in trials}
    observed: list[_Observed] = []
    before_us = recording.described.begin_us
    for watermark_us, batches in recording.steps:
        for batch in batches:
            histories.add(batch)
        while waiting and waiting[0].applied_us <= watermark_us + EARLIER_US:
            trial = waiting.popleft()
            observed.append(_Observed(recording, trial, histories, before_us, findings[trial.fault_id]))
        for each in observed:
            each.advance(watermark_us)
        observed = [each for each in observed if not each.findings.is_final]
        before_us = watermark_us
    return [findings[trial.fault_id].judged for trial in trials]


class _Observed:
    """A trial and its observer.

    Args:
        recording: that the trial is on.
        trial: the virtual fault.
        histories: telemetry of the recording, up to now.
        before_us: the watermark up to which the observer had nothing to do.
        findings: of the trial, none yet.
    """

    def __init__(
        self,
        recording: Recording,
        trial: Trial,
        histories: Histories,
        before_us: int,
        findings: Findings,
    ) -> None:
        self.findings = findings
        self._observer = EffectObserver(recording.described.run_id, histories=histories)
        self._observer.advance(before_us)
        self._coming = deque(told(recording, trial))

    def advance(self, watermark_us: int) -> None:
        """Tells of the fault what is known by now, and takes over what is found."""
        while self._coming and self._coming[0][0] <= watermark_us + EARLIER_US:
            self._observer.fault(self._coming.popleft()[1])
        self.findings.update(self._observer.advance(watermark_us))


class Findings:
    """What was found of a trial by now."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._effects: dict[str, FaultEffect] = {}
        self._verdict: FaultVerdict | None = None

    def update(self, records: Iterable[FaultEffect | FaultVerdict]) -> None:
        """Takes over what an observer publishes."""
        for record in records:
            if isinstance(record, FaultVerdict):
                self._verdict = record
            else:
                self._effects[record.service] = record

    @property
    def is_final(self) -> bool:
        """Whether nothing more will be found."""
        return self._verdict is not None and self._verdict.is_final

    @property
    def judged(self) -> Judged:
        """What was said in the end."""
        found = [effect for effect in self._effects.values() if effect.finding == "visible"]
        return Judged(
            trial=self._trial,
            verdict=self._verdict.verdict if self._verdict else "pending",
            affected=tuple(sorted(effect.service for effect in found)),
            exposed=len(self._effects),
            evidence=(
                self._verdict.evidence if self._verdict else "",
                *(f"{effect.service}: {effect.evidence}" for effect in found),
            ),
        )


def told(recording: Recording, trial: Trial) -> Iterator[tuple[int, ServiceFault]]:
    """The records of a virtual fault as the injector would write them, each when it is known."""
    fault = fault_of(trial.kind, trial.strength)
    recovered_us = trial.end_us
    services = {service for edge in recording.described.edges for service in edge} - OUTSIDE
    neighbours = services if KINDS[trial.kind].acts_on_host else ()
    exposed = exposed_services(recording.described.edges, trial.service, neighbours=neighbours)
    begun = [
        ServiceFault(
            run_id=recording.described.run_id,
            fault_id=trial.fault_id,
            version=1,
            kind=trial.kind,
            service=each.service,
            root_service=trial.service,
            role="root_cause" if each.relation == "root" else "exposed",
            relation=each.relation,
            hops=each.hops,
            severity=fault.severity,
            requested_at_us=trial.applied_us,
            apply_commanded_at_us=trial.applied_us,
            applied_at_us=trial.applied_us,
            parameters=fault.canonical(),
            instances=(f"{trial.service}-0",),
            applied_us=(trial.applied_us,),
            recovered_us=(0,),
        )
        for each in exposed
    ]
    yield from ((trial.applied_us, each) for each in begun)
    for each in begun:
        yield (
            recovered_us,
            replace(
                each,
                version=2,
                recovery_commanded_at_us=recovered_us,
                recovered_at_us=recovered_us,
                recovered_us=(recovered_us,),
            ),
        )
