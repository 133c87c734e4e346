"""Weak and idle faults while a strong one is in force on another service: none of them may be confirmed.

A round is one strong fault and some others, one after another, each on a service of its own. The first one
is in force before the strong fault and the last one after it, so that some of the time is theirs alone::

    strong       |────────────────────────────────────────|
    weak, idle |──|     |──|     |──|     |──|     |──|  |──|
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from benchmarks.truth.exposure import Exposure
from benchmarks.truth.injections import (
    CONTROL,
    GAP_S,
    WARM_UP_S,
    Injection,
    called_services,
    ended,
    injection,
    newest_of,
)
from benchmarks.truth.strengths import Strength, parameters
from microservo.adapters.clock import now_us
from microservo.application.progress import Progress
from microservo.client import Client
from microservo.domain.campaigns.choice import CampaignFault
from microservo.log.run_records import declare_plan
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.count_down import count_down

_STRONG = "network-delay"
_STRONG_S = 40
_LENGTH_S = 5
_STARTS_S = (-2, 6, 14, 22, 30, 38)
"""Of the others, from the begin of the strong fault."""
PER_ROUND = len(_STARTS_S)
ROUNDS_PER_SESSION = 9
_LEAD_S = 4.0
"""So long before its begin a fault is asked for."""
_NOWHERE = {"endpoint": "NobodyCallsThis"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weak:
    kind: str
    strength: Strength
    more: Mapping[str, str] = field(default_factory=dict)


_WEAK = (
    _Weak(kind="network-delay", strength="weak"),
    _Weak(kind="http-abort", strength="weak"),
    _Weak(kind="http-delay", strength="weak"),
    _Weak(kind="app-exception", strength="weak"),
    _Weak(kind="http-abort", strength="default", more=_NOWHERE),
    _Weak(kind=CONTROL, strength="default"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A strong fault and the others.

    Attributes:
        over: service of the strong one.
        under: the others, in order.
    """

    number: int
    over: CampaignFault
    under: tuple[tuple[CampaignFault, Strength], ...]

    def under_ids(self, run_id: str) -> list[str]:
        """Ids of the others in a run: ids are unique on a broker, and it keeps those of earlier runs."""
        return [f"{run_id}-under-{self.number}-{at}" for at in range(len(self.under))]


def rounds_of(count: int, seed: int, topology: str) -> list[Round]:
    """Rounds with at least `count` weak and idle faults, over the services that get calls."""
    rng = random.Random(f"{seed}/overlaps")
    services = called_services(topology)
    found = []
    for number in range(-(-count // PER_ROUND)):
        over, *under = rng.sample(services, 1 + PER_ROUND)
        kinds = rng.sample(_WEAK, PER_ROUND)
        found.append(
            Round(
                number=number,
                over=_fault(over, _STRONG, _STRONG_S, parameters(_STRONG, "strong")),
                under=tuple(
                    (
                        _fault(
                            service,
                            weak.kind,
                            _LENGTH_S,
                            {**parameters(weak.kind, weak.strength), **weak.more},
                        ),
                        weak.strength,
                    )
                    for service, weak in zip(under, kinds, strict=True)
                ),
            )
        )
    return found


def sessions_of_rounds(rounds: Sequence[Round]) -> list[Sequence[Round]]:
    """The rounds in sessions."""
    return [rounds[begin : begin + ROUNDS_PER_SESSION] for begin in range(0, len(rounds), ROUNDS_PER_SESSION)]


def run_rounds(
    number: int, rounds: Sequence[Round], options: SystemOptions, progress: Progress
) -> list[Injection]:
    """Injects the faults of a session.

    Raises:
        Unavailable: a part of the system did not get ready, or a fault was never over.
    """
    with EmbeddedSystem(options, progress) as system:
        system.start()
        declare_plan(
            system.broker,
            system.run_id,
            [fault for each in rounds for fault in _faults(each)],
            process="system",
            clock=now_us,
            topic_prefix=options.topic_prefix,
        )
        count_down(progress, "normal telemetry", WARM_UP_S)
        for each in rounds:
            under = ", ".join(sorted({fault.service for fault, _ in each.under}))
            with progress.stage(f"{_STRONG} on {each.over.service}, weak and idle faults on {under}"):
                _inject(system.client, each, system.run_id)
            count_down(progress, "quiet", float(each.over.gap_s))
        run_id, events = system.run_id, ended(system, progress)
        exposure = Exposure.read(system.broker, run_id, options.topic_prefix)
    return [
        injection(number, fault, strength, event, exposure, overlapped=_STRONG)
        for each in rounds
        for (fault, strength), event in zip(
            each.under, newest_of(events, each.under_ids(run_id)), strict=True
        )
    ]


def _inject(client: Client, wanted: Round, run_id: str) -> None:
    begin = datetime.now(UTC) + timedelta(seconds=_LEAD_S)
    over_id, under_ids = f"{run_id}-over-{wanted.number}", wanted.under_ids(run_id)
    for fault_id, fault, start_s in (
        (over_id, wanted.over, 0),
        *(
            (fault_id, fault, start_s)
            for fault_id, (fault, _), start_s in zip(under_ids, wanted.under, _STARTS_S, strict=True)
        ),
    ):
        client.faults.request(
            fault.kind,
            service=fault.service,
            duration=f"{fault.duration_s}s",
            parameters=fault.parameters,
            start_at=begin + timedelta(seconds=start_s),
            fault_id=fault_id,
        )
    for fault_id in (over_id, *under_ids):
        client.faults.wait(fault_id, "recovered", timeout_s=_LEAD_S + 120)


def _faults(wanted: Round) -> Iterator[CampaignFault]:
    yield wanted.over
    yield from (fault for fault, _ in wanted.under)


def _fault(service: str, kind: str, duration_s: int, given: Mapping[str, str]) -> CampaignFault:
    # The strong one's requests may take a while to drain, and an effect some seconds to end.
    return CampaignFault(kind=kind, service=service, parameters=given, duration_s=duration_s, gap_s=2 * GAP_S)
