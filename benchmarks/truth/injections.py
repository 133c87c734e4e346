"""Real faults beside a twin of their run: whether they are confirmed, and how exactly their effect is timed.

A session is one run of a system with some faults, one after another, and its twin. Sessions are short, so
that a benchmark that was interrupted loses little.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.truth.strengths import Strength, parameters
from microservo.application.progress import Progress
from microservo.client import Client
from microservo.domain.campaign import CampaignFault
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.graph import OUTSIDE
from microservo.domain.twin import TwinRow
from microservo.platforms.local.topology_files import read_topology
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.count_down import count_down
from microservo.system.demo import fault_id, run_campaign
from microservo.system.twin import Twin
from schemas.records import FaultEvent

LENGTHS_S = (2, 5, 10)
PER_SESSION = 12
CONTROL = "noop"
_WARM_UP_S = 60.0
_GAP_S = 15
_SETTLE_S = 45.0
"""From the end of the last fault until its verdict is final."""
_OVER_S = 20
"""How long a strong fault lasts, beside which a weak one is injected."""
_STRONG = "network-delay"
_WEAK: tuple[tuple[str, Strength], ...] = (
    ("network-delay", "weak"),
    ("http-abort", "weak"),
    ("app-exception", "weak"),
    (CONTROL, "default"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One fault that was injected, and what came of it.

    Attributes:
        overlapped: kind of a strong fault that was in force on another service all the while; "" for none.
        first_us: the first record that deviates from the twin, on the services that an effect was seen on if
            there are any; None for none, or no twin.
        apart_us: by service where both are known, from that record to the effect as it was seen.
    """

    session: int
    kind: str
    strength: Strength
    service: str
    length_s: int
    overlapped: str
    verdict: str
    evidence: str
    applied_us: int | None
    recovered_us: int | None
    first_us: int | None
    seen_us: int | None
    apart_us: dict[str, int]


def plan_of(count: int, seed: int, topology: str) -> list[CampaignFault]:
    """`count` faults of each kind over the services that get calls, in an order that chance chose."""
    rng = random.Random(f"{seed}/injections")
    services = _services(topology)
    found = []
    for kind in sorted(set(KINDS) - {CONTROL}):
        order = rng.sample(services, len(services))
        for number in range(count):
            found.append(
                CampaignFault(
                    kind=kind,
                    service=order[number % len(order)],
                    parameters=parameters(kind, "default"),
                    duration_s=LENGTHS_S[number % len(LENGTHS_S)],
                    gap_s=_GAP_S,
                )
            )
    rng.shuffle(found)
    return found


def sessions_of(plan: Sequence[CampaignFault]) -> list[Sequence[CampaignFault]]:
    """The plan in sessions."""
    return [plan[begin : begin + PER_SESSION] for begin in range(0, len(plan), PER_SESSION)]


def run_session(
    number: int, plan: Sequence[CampaignFault], options: SystemOptions, progress: Progress
) -> list[Injection]:
    """Injects the faults of a session, runs its twin, and compares.

    Raises:
        Unavailable: a part of a system did not get ready, or a fault was never over.
    """
    with EmbeddedSystem(options, progress) as system:
        system.start()
        count_down(progress, "normal telemetry", _WARM_UP_S)
        run_campaign(system.client, system.run_id, list(plan), progress)
        events = _ended(system, progress)
        twin = Twin(system, progress).run(events)
    rows: dict[str, list[TwinRow]] = {}
    for row in twin.rows:
        rows.setdefault(row.effect.fault_id, []).append(row)
    newest = _newest(events, [fault_id(system.run_id, at, fault) for at, fault in enumerate(plan, start=1)])
    return [
        _injection(number, fault, "default", event, rows.get(event.fault_id, []), overlapped="")
        for fault, event in zip(plan, newest, strict=True)
    ]


def run_overlaps(
    number: int, count: int, options: SystemOptions, seed: int, progress: Progress
) -> list[Injection]:
    """Injects weak faults, each while a strong one is in force on another service.

    Raises:
        Unavailable: a part of the system did not get ready, or a fault was never over.
    """
    rng = random.Random(f"{seed}/overlaps/{number}")
    services = _services(options.topology)
    pairs = [
        _Pair(f"under-{at}", f"over-{at}", *_WEAK[at % len(_WEAK)], *rng.sample(services, 2))
        for at in range(count)
    ]
    with EmbeddedSystem(options, progress) as system:
        system.start()
        count_down(progress, "normal telemetry", _WARM_UP_S)
        for at, pair in enumerate(pairs, start=1):
            with progress.stage(f"{at}/{count}: weak {pair.kind} on {pair.under}, {_STRONG} on {pair.over}"):
                _overlap(system.client, pair)
            count_down(progress, "quiet", _GAP_S)
        events = _ended(system, progress)
    newest = _newest(events, [pair.under_id for pair in pairs])
    return [
        _injection(number, pair.fault(), pair.strength, event, [], overlapped=_STRONG)
        for pair, event in zip(pairs, newest, strict=True)
    ]


class _Pair(NamedTuple):
    """A weak fault on one service, under a strong one on another."""

    under_id: str
    over_id: str
    kind: str
    strength: Strength
    under: str
    over: str

    def fault(self) -> CampaignFault:
        """The weak one."""
        return CampaignFault(
            kind=self.kind,
            service=self.under,
            parameters=parameters(self.kind, self.strength),
            duration_s=_OVER_S // 2,
            gap_s=_GAP_S,
        )


def _overlap(client: Client, pair: _Pair) -> None:
    client.faults.request(
        _STRONG,
        service=pair.over,
        duration=f"{_OVER_S}s",
        parameters=parameters(_STRONG, "strong"),
        fault_id=pair.over_id,
    )
    client.faults.wait(pair.over_id, "active", timeout_s=60)
    weak = pair.fault()
    client.faults.request(
        weak.kind,
        service=weak.service,
        duration=f"{weak.duration_s}s",
        parameters=weak.parameters,
        fault_id=pair.under_id,
    )
    for each in (pair.under_id, pair.over_id):
        client.faults.wait(each, "recovered", timeout_s=120)


def _ended(system: EmbeddedSystem, progress: Progress) -> list[FaultEvent]:
    """The newest events of the run's faults, once all are judged and the run is over."""
    count_down(progress, "until every fault is judged", _SETTLE_S)
    system.finish_run()
    events = [event for event in system.client.faults.list() if event.run_id == system.run_id]
    system.stop_processes()
    return events


def _newest(events: Sequence[FaultEvent], fault_ids: Sequence[str]) -> Iterator[FaultEvent]:
    for wanted in fault_ids:
        yield max((each for each in events if each.fault_id == wanted), key=lambda each: each.version)


def _injection(
    session: int,
    fault: CampaignFault,
    strength: Strength,
    event: FaultEvent,
    rows: Sequence[TwinRow],
    *,
    overlapped: str,
) -> Injection:
    # On others it is late or missing traffic, which the first records of the effect came before.
    seen = [row for row in rows if row.effect_seen_at_us is not None]
    firsts = [row.effect.first_us for row in seen or rows if row.effect.first_us is not None]
    return Injection(
        session=session,
        kind=fault.kind,
        strength=strength,
        service=fault.service,
        length_s=fault.duration_s,
        overlapped=overlapped,
        verdict=event.verdict,
        evidence=event.effect_evidence,
        applied_us=event.applied_at_us,
        recovered_us=event.recovered_at_us,
        first_us=min(firsts, default=None),
        seen_us=event.effect_seen_at_us,
        apart_us={
            row.effect.service: row.effect_seen_at_us - row.effect.first_us
            for row in rows
            if row.effect.first_us is not None and row.effect_seen_at_us is not None
        },
    )


def _services(topology: str) -> list[str]:
    """Services that get calls in every few seconds: all but those that nobody calls."""
    return sorted(set(read_topology(topology).services) - OUTSIDE)
