"""Real faults, some beside a twin of their run: whether they are confirmed, and how exactly they are timed.

A session is one run of a system with some faults, one after another, and perhaps its twin. A benchmark that
was interrupted loses the session that was running.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.truth.exposure import Exposure
from benchmarks.truth.strengths import Strength, kinds_of_services, parameters
from microservo.application.progress import Progress
from microservo.domain.campaigns.choice import CampaignFault
from microservo.domain.campaigns.plan import fault_id, one_after_another
from microservo.domain.graph import OUTSIDE
from microservo.domain.twin import TwinRow
from microservo.platforms.local.topology_files import read_topology
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.count_down import count_down
from microservo.system.twin import Twin
from schemas.records import FaultEvent

LENGTHS_S = (2, 5, 2, 10)
"""Half of them as short as they may be: those are the hard ones."""
PER_SESSION = 44
CONTROL = "noop"
WARM_UP_S = 60.0
GAP_S = 7
"""Quiet time after a fault. The observer knows that one is over after ten seconds without a deviating record,
and looks at the next two seconds after its end, at the earliest four after its begin: with less quiet time
the one before might explain what it sees then."""
_SETTLE_S = 40.0
"""From the end of the last fault until its verdict is final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One fault that was injected, and what came of it.

    Attributes:
        overlapped: kind of a strong fault that was in force on another service meanwhile; "" for none.
        calls: requests to the service that began while it was in force, as those who sent them saw it.
        acted: how many of them the mechanism changed; None where it doesn't count.
        has_twin: the run was compared with its twin.
        first_us: the first record that deviates from the twin, on the services that an effect of this fault
            alone was seen on if there are any; None for none, or no twin.
        apart_us: by such service where both are known, from that record to the effect as it was seen.
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
    calls: int
    acted: int | None
    has_twin: bool
    first_us: int | None
    seen_us: int | None
    apart_us: Mapping[str, int]


def plan_of(count: int, seed: int, topology: str) -> list[CampaignFault]:
    """`count` faults of each kind over the services that get calls, no service twice in a row."""
    rng = random.Random(f"{seed}/injections")
    services = called_services(topology)
    found = []
    for kind in sorted(set(kinds_of_services()) - {CONTROL}):
        order = rng.sample(services, len(services))
        found += [
            CampaignFault(
                kind=kind,
                service=order[number % len(order)],
                parameters=parameters(kind, "default"),
                duration_s=LENGTHS_S[number % len(LENGTHS_S)],
                gap_s=GAP_S,
            )
            for number in range(count)
        ]
    rng.shuffle(found)
    return _apart(found)


def sessions_of(plan: Sequence[CampaignFault]) -> list[Sequence[CampaignFault]]:
    """The plan in sessions."""
    return [plan[begin : begin + PER_SESSION] for begin in range(0, len(plan), PER_SESSION)]


def run_session(
    number: int,
    plan: Sequence[CampaignFault],
    options: SystemOptions,
    progress: Progress,
    *,
    with_twin: bool,
) -> list[Injection]:
    """Injects the faults of a session, runs its twin if there is to be one, and compares.

    Raises:
        Unavailable: a part of a system did not get ready, or a fault was never over.
    """
    rows: dict[str, list[TwinRow]] = {}
    with EmbeddedSystem(replace(options, fault_free_s=WARM_UP_S), progress) as system:
        system.start()
        target = read_topology(options.topology).name
        planned = one_after_another("injections", options.seed, target, plan)
        report = system.client.campaigns.run(planned, progress=progress)
        events = ended(system, progress)
        exposure = Exposure.read(system.broker, system.run_id, options.topic_prefix)
        for row in Twin(system, progress).run(events).rows if with_twin else ():
            rows.setdefault(row.effect.fault_id, []).append(row)
    campaign_id = report.status.run.campaign_id
    newest = newest_of(events, [fault_id(campaign_id, step) for step in planned.steps])
    return [
        injection(
            number, fault, "default", event, exposure, rows=rows.get(event.fault_id, []), has_twin=with_twin
        )
        for fault, event in zip(plan, newest, strict=True)
    ]


def ended(system: EmbeddedSystem, progress: Progress) -> list[FaultEvent]:
    """The newest events of the run's faults, once all are judged and the run is over."""
    count_down(progress, "until every fault is judged", _SETTLE_S)
    system.finish_run()
    events = [event for event in system.client.faults.list() if event.run_id == system.run_id]
    system.stop_processes()
    return events


def newest_of(events: Sequence[FaultEvent], fault_ids: Sequence[str]) -> Iterator[FaultEvent]:
    """The newest event of each fault."""
    for wanted in fault_ids:
        yield max((each for each in events if each.fault_id == wanted), key=lambda each: each.version)


def injection(
    session: int,
    fault: CampaignFault,
    strength: Strength,
    event: FaultEvent,
    exposure: Exposure,
    *,
    rows: Sequence[TwinRow] = (),
    has_twin: bool = False,
    overlapped: str = "",
) -> Injection:
    """What came of a fault, from its newest event and what its run and twin say."""
    # On others it is late or missing traffic, which the first records of the effect came before; and what
    # another fault may explain as well is not said to be this one's.
    seen = [row for row in rows if row.effect_seen_at_us is not None and not row.is_shared]
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
        calls=exposure.calls(fault.service, event.applied_at_us, event.recovered_at_us),
        acted=event.acted,
        has_twin=has_twin,
        first_us=min(firsts, default=None),
        seen_us=event.effect_seen_at_us,
        apart_us={
            row.effect.service: row.effect_seen_at_us - row.effect.first_us
            for row in seen
            if row.effect.first_us is not None and row.effect_seen_at_us is not None
        },
    )


def called_services(topology: str) -> list[str]:
    """All services but those that nobody calls; some get a call in every few seconds only."""
    return sorted(set(read_topology(topology).services) - OUTSIDE)


def _apart(faults: Sequence[CampaignFault]) -> list[CampaignFault]:
    """The same faults, each the next in order that is on another service than the one before.

    Those that are left over in the end go to the first place where they fit.
    """
    left = list(faults)
    found: list[CampaignFault] = []
    while fitting := [at for at, each in enumerate(left) if not found or each.service != found[-1].service]:
        found.append(left.pop(fitting[0]))
    for fault in left:
        places = range(1, len(found))
        free = (at for at in places if fault.service not in {each.service for each in found[at - 1 : at + 1]})
        found.insert(next(free, len(found)), fault)
    return found
