"""Virtual faults on fault-free telemetry: what the observer says of them is false, however it came to it.

A pass replays a recording to an observer, as the live process would give it, and tells of one virtual fault
after another: each on a service and at an instant that chance chose, each after the one before has settled.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.truth.recording import Recording
from benchmarks.truth.strengths import Strength, fault_of
from microservo.domain.effects import EffectObserver
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.graph import OUTSIDE, exposed_services
from schemas.records import FaultEffect, FaultVerdict, ServiceFault

LENGTHS_S = (2, 5, 10, 30)
S = 1_000_000
_WARM_UP_US = 90 * S
_EARLIER_US = 2 * S
"""How far event time is behind what happens now: an injector tells of it at once."""
_SETTLE_US = 60 * S
"""From the end of a virtual fault until the next begins: its effects are final by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One virtual fault."""

    number: int
    kind: str
    strength: Strength
    length_s: int
    service: str
    applied_us: int

    @property
    def fault_id(self) -> str:
        """Unique within a benchmark."""
        return f"placebo-{self.number}"


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


def combinations(strengths: Iterable[tuple[str, Strength]]) -> list[tuple[str, Strength, int]]:
    """Every kind and strength with every length."""
    return [(kind, strength, length_s) for kind, strength in strengths for length_s in LENGTHS_S]


def passes(
    recording: Recording, wanted: Sequence[tuple[str, Strength, int]], seed: int, first_number: int
) -> Iterator[list[Trial]]:
    """The trials that are wanted, in passes over a recording, each as full as it can be."""
    rng = random.Random(f"{seed}/placebo/{recording.described.run_id}")
    services = sorted({service for edge in recording.described.edges for service in edge} - OUTSIDE)
    trials: list[Trial] = []
    at_us = begin_us = recording.described.begin_us + _WARM_UP_US
    for number, (kind, strength, length_s) in enumerate(wanted, start=first_number):
        at_us += rng.randrange(5 * S)
        if at_us + length_s * S + _SETTLE_US > recording.described.end_us:
            yield trials
            trials, at_us = [], begin_us + rng.randrange(5 * S)
        service = rng.choice(services)
        trials.append(
            Trial(
                number=number,
                kind=kind,
                strength=strength,
                length_s=length_s,
                service=service,
                applied_us=at_us,
            )
        )
        at_us += length_s * S + _SETTLE_US
    if trials:
        yield trials


def run_pass(recording: Recording, trials: Sequence[Trial]) -> list[Judged]:
    """What an observer says of these trials, which are in order of time and do not touch."""
    observer = EffectObserver(recording.described.run_id)
    effects: dict[tuple[str, str], FaultEffect] = {}
    verdicts: dict[str, FaultVerdict] = {}
    coming = [(at_us, fault) for trial in trials for at_us, fault in _told(recording, trial)]
    for watermark_us, batches in recording.steps:
        for batch in batches:
            observer.telemetry(batch)
        while coming and coming[0][0] <= watermark_us + _EARLIER_US:
            observer.fault(coming.pop(0)[1])
        for record in observer.advance(watermark_us):
            if isinstance(record, FaultVerdict):
                verdicts[record.fault_id] = record
            else:
                effects[record.fault_id, record.service] = record
    return [_judged(recording, trial, effects, verdicts) for trial in trials]


def _told(recording: Recording, trial: Trial) -> Iterator[tuple[int, ServiceFault]]:
    """The records of a virtual fault as the injector would write them, each when it is known."""
    fault = fault_of(trial.kind, trial.strength)
    recovered_us = trial.applied_us + trial.length_s * S
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


def _judged(
    recording: Recording,
    trial: Trial,
    effects: dict[tuple[str, str], FaultEffect],
    verdicts: dict[str, FaultVerdict],
) -> Judged:
    mine = [effect for (fault_id, _), effect in effects.items() if fault_id == trial.fault_id]
    found = [effect for effect in mine if effect.finding == "visible"]
    verdict = verdicts.get(trial.fault_id)
    return Judged(
        trial=trial,
        verdict=verdict.verdict if verdict else "pending",
        affected=tuple(sorted(effect.service for effect in found)),
        exposed=len(mine),
        evidence=(
            verdict.evidence if verdict else "",
            *(f"{effect.service}: {effect.evidence}" for effect in found),
        ),
    )
