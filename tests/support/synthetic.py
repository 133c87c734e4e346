"""A made-up run: what its writers would stamp and send; a function of the seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from microservo.adapters.partitioner import partition_of
from microservo.domain.joined_topics import SOURCES, TOLD_LATER
from microservo.domain.silence import PushedSignal, packed_signals
from microservo.domain.telemetry import SIGNALS
from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from schemas import catalogue
from schemas.codec import encode
from schemas.envelope import HEARTBEAT_KEY, Headers, Stamp
from schemas.records import (
    FaultEffect,
    FaultVerdict,
    LogBatch,
    MetricBatch,
    RunWriter,
    ServiceAction,
    ServiceFault,
    ServiceInventory,
    SpanBatch,
)

LOAD_GENERATOR = "frontend"
"""Of the services, the one that says it is no service."""
PAUSE_S = (15, 26)
GATHER_US = 5_000_000
START_US = 1_700_000_000_000_000
FLUSH_US = 250_000
_S = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message, on its way to a topic (logical name)."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class _Writer:
    """Stamps the messages of one topic, as `StampedWriter` does."""

    topic: str
    partitions: int
    run_id: str
    sequence: dict[int, int] = field(default_factory=dict)
    total: dict[int, int] = field(default_factory=dict)

    def send(self, now_us: int, key: bytes, value: bytes | None, records: int, partition: int) -> Sent:
        self.total[partition] = self.total.get(partition, 0) + records
        stamp = Stamp(
            run=self.run_id,
            watermark_us=now_us,
            writer=_name(self.topic),
            sequence=self.sequence.get(partition, 0),
            total=self.total[partition],
        )
        self.sequence[partition] = stamp.sequence + 1
        return Sent(topic=self.topic, partition=partition, key=key, value=value, headers=stamp.headers())


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happens in a made-up run.

    Attributes:
        seed: everything random comes from it.
        seconds: how long telemetry flows; stamps go on for `drain_s` more, so that all windows become final.
            What is measured of some faults comes so late that it makes a revision 2; so do acts of placement.
        services: names of the services. The second pushes nothing from second 15 to 26; the last gathers for
            five seconds before it sends, which its inventories say from second 8 on.
        late_ratio: share of records that are sent seconds after they were measured.
        batch: most records in a message; changes nothing but the packing.
        has_manager: whether somebody places containers; without, nobody is declared to tell of it.
    """

    seed: int = 7
    seconds: int = 40
    drain_s: int = 70
    services: tuple[str, ...] = ("cart", "checkout", "frontend", "shipping")
    late_ratio: float = 0.05
    batch: int = 100
    run_id: str = "run-1"
    start_us: int = START_US
    has_manager: bool = True


def topics(story: Story) -> list[str]:
    """The joined topics that somebody writes, by logical name."""
    return [each for each in SOURCES if story.has_manager or each != catalogue.SERVICE_ACTIONS]


def writers(story: Story) -> tuple[RunWriter, ...]:
    """Who writes in the run; revision 0 does not wait for what is told later."""
    policy = WindowPolicy()
    return tuple(
        RunWriter(
            topic=source,
            writer=_name(source),
            from_us=story.start_us,
            first_cut_us=NEVER_WAITS_US if source in TOLD_LATER else policy.first_cut_us,
            final_cut_us=policy.final_cut_us,
        )
        for source in topics(story)
    )


def windowers(story: Story, partitions: int) -> list[Windower]:
    """One windower for each partition number, in which the run is open."""
    found = [Windower(WindowPolicy()) for _ in range(partitions)]
    for windower in found:
        windower.open_run(story.run_id, writers(story))
    return found


def messages(story: Story, *, partitions: int) -> list[Sent]:
    """Every message of the run, in the order they are sent."""
    return list(_messages(story, partitions))


def inventories(story: Story) -> list[tuple[int, ServiceInventory]]:
    """What is known of each service, each second, with the instant it is sent; some late, some twice."""
    rng = random.Random(f"{story.seed}/inventories")
    found = []
    for second in range(1, story.seconds):
        for service in story.services:
            time_us = story.start_us + second * _S + rng.randrange(300_000)
            late = rng.random() < story.late_ratio
            sent_us = time_us + (rng.randrange(2 * _S, 36 * _S) if late else 0)
            one = _inventory(story, service, second, time_us)
            found += [(sent_us, one)] * (2 if rng.random() < 0.1 else 1)
    return sorted(found, key=lambda item: (item[0], item[1].service, item[1].time_us))


def _inventory(story: Story, service: str, second: int, time_us: int) -> ServiceInventory:
    is_slow = service == story.services[-1]
    newest_us = story.start_us + (min(second, PAUSE_S[0]) if service == story.services[1] else second) * _S
    return ServiceInventory(
        run_id=story.run_id,
        service=service,
        service_kind=_kind(service),
        endpoints=("AddItem", "GetCart", "Pay"),
        peers=("redis",),
        templates=("request <*> done",),
        levels=("cpu", "memory", "queue"),
        logs_since_us=story.start_us,
        metered=("queue",),
        **packed_signals({each: PushedSignal(200_000, newest_us) for each in SIGNALS}),
        delay_us=max(0, min(3_500_000, (36 - second) * 500_000)) if is_slow and second >= 8 else 0,
        time_us=time_us,
    )


def faults(story: Story) -> list[tuple[int, ServiceFault]]:
    """Versions of faults with the instant each is sent; some are sent too late for revision 0."""
    rng = random.Random(f"{story.seed}/faults")
    found = []
    for number in range(max(1, story.seconds // 12)):
        applied = story.start_us + (5 + number * 12) * _S + rng.randrange(_S)
        recovered = applied + rng.randrange(3, 9) * _S
        found += list(_versions(story, f"fault-{number}", (applied, recovered), rng))
    return sorted(found, key=lambda item: (item[0], item[1].fault_id, item[1].version, item[1].service))


def _versions(
    story: Story, fault_id: str, in_force: tuple[int, int], rng: random.Random
) -> Iterator[tuple[int, ServiceFault]]:
    service = rng.choice(story.services)
    applied, recovered = in_force
    delay = rng.choice((2_000, 2_000, 9 * _S))
    callers = [name for name in story.services if name != service][:1]
    steps: list[tuple[int, dict[str, int | None]]] = [
        (applied, {"applied_at_us": applied}),
        (recovered - 50_000, {"applied_at_us": applied, "recovery_commanded_at_us": recovered - 60_000}),
        (
            recovered,
            {
                "applied_at_us": applied,
                "recovery_commanded_at_us": recovered - 60_000,
                "recovered_at_us": recovered,
            },
        ),
    ]
    for version, (at_us, times) in enumerate(steps, start=1):
        for hops, name in enumerate([service, *callers]):
            yield (
                at_us + delay,
                ServiceFault(
                    run_id=story.run_id,
                    fault_id=fault_id,
                    version=version,
                    kind="network-delay",
                    service=name,
                    root_service=service,
                    role="exposed" if hops else "root_cause",
                    relation="caller" if hops else "root",
                    hops=hops,
                    severity=0.5,
                    requested_at_us=applied - 5_000,
                    apply_commanded_at_us=applied - 2_000,
                    **times,  # type: ignore[arg-type]
                ),
            )


def effects(story: Story) -> list[tuple[int, FaultEffect | FaultVerdict]]:
    """Versions of what was measured of each fault at each service, with the instant each is sent."""
    found: list[tuple[int, FaultEffect | FaultVerdict]] = []
    over = [fault for _, fault in faults(story) if fault.recovered_at_us is not None]
    for fault in over:
        rng = random.Random(f"{story.seed}/effects/{fault.fault_id}/{fault.service}")
        is_late = fault.fault_id.endswith(("0", "3", "6"))
        is_seen = fault.role == "root_cause" or rng.random() < 0.5
        found += list(_effect_versions(fault, rng, is_seen=is_seen, is_late=is_late))
        if fault.role == "root_cause":
            verdict = FaultVerdict(
                run_id=story.run_id,
                fault_id=fault.fault_id,
                service=fault.service,
                version=1,
                verdict="confirmed",
                is_final=True,
            )
            found.append((found[-1][0], verdict))
    return sorted(found, key=lambda item: item[0])


def _effect_versions(
    fault: ServiceFault, rng: random.Random, *, is_seen: bool, is_late: bool
) -> Iterator[tuple[int, FaultEffect]]:
    """What is found each second while the fault goes on; or only long after it."""
    applied_us, recovered_us = fault.applied_at_us or 0, fault.recovered_at_us or 0
    final_us = recovered_us + (40 * _S if is_late else 3 * _S)
    over_us = recovered_us + rng.choice((-50_000, 1_500_000))
    looks = [final_us] if is_late else [*range(applied_us + _S, final_us, _S), final_us]
    for version, at_us in enumerate(looks, start=1):
        through_us = at_us - 400_000
        is_shown = is_seen and through_us > applied_us + 2 * _S
        yield (
            at_us,
            FaultEffect(
                run_id=fault.run_id,
                fault_id=fault.fault_id,
                service=fault.service,
                version=version,
                root_service=fault.root_service,
                relation=fault.relation,
                finding="visible" if is_shown else "not_visible" if at_us == final_us else "undecided",
                starts_us=(applied_us + 300_000,) if is_shown else (),
                ends_us=(min(through_us, over_us),) if is_shown else (),
                is_open=is_shown and through_us < over_us,
                through_us=through_us,
                is_final=at_us == final_us,
            ),
        )


def actions(story: Story) -> list[tuple[int, ServiceAction]]:
    """Versions of acts of placement, seven seconds each, with the instant each is sent.

    Some are told at once, one as late as for revision 1, one later: after the beginning, after its end.
    """
    found = []
    for number, service in enumerate(story.services):
        rng = random.Random(f"{story.seed}/actions/{service}")
        begun_us = story.start_us + (3 + 3 * number) * _S + rng.randrange(_S)
        found += list(_action_versions(story, service, begun_us, late_us=(0, 9, 25, 45)[number % 4] * _S))
    return sorted(found, key=lambda item: (item[0], item[1].decision_id, item[1].version))


def _action_versions(
    story: Story, service: str, begun_us: int, *, late_us: int
) -> Iterator[tuple[int, ServiceAction]]:
    decided = ServiceAction(
        run_id=story.run_id,
        service=service,
        decision_id=f"migrate-{service}",
        version=1,
        manager="master",
        policy="rules",
        what="move",
        origin="rule",
        decided_by="follow-demand",
        why="cpu-% 12 >= 0",
        decided_us=begun_us,
        container=f"{service}-b",
        replaces=f"{service}-a",
        from_host="berlin",
        from_region="Europe",
        to_host="tokyo",
        to_region="Asia",
    )
    serving_us, ended_us = begun_us + 2 * _S, begun_us + 7 * _S
    begun = replace(decided, version=2, begun_us=begun_us)
    serving = replace(begun, version=3, serving_us=serving_us)
    ended = replace(serving, version=4, ended_us=ended_us, outcome="done", cost_host_s=7.0)
    yield begun_us, decided
    yield begun_us + late_us // 3, begun
    yield serving_us + late_us // 3, serving
    yield ended_us + late_us, ended
    yield ended_us + late_us + _S, replace(ended, version=5, requests_lost=0, is_final=True)


def _name(topic: str) -> str:
    return f"writer-of-{topic}"


def _messages(story: Story, partitions: int) -> Iterator[Sent]:
    senders = {topic: _Writer(topic, partitions, story.run_id) for topic in topics(story)}
    waiting = {topic: _records(story, topic) for topic in _SIGNALS}
    facts: dict[str, list[tuple[int, Any]]] = {
        catalogue.TELEMETRY_METRICS: inventories(story),
        catalogue.SERVICE_FAULTS: faults(story),
        catalogue.FAULT_EFFECTS: effects(story),
        catalogue.SERVICE_ACTIONS: actions(story) if story.has_manager else [],
    }
    end_us = story.start_us + (story.seconds + story.drain_s) * _S
    for now_us in range(story.start_us + FLUSH_US, end_us, FLUSH_US):
        for topic, records in waiting.items():
            yield from _flush(story, senders[topic], records, now_us)
        for topic, queue in facts.items():
            while queue and queue[0][0] < now_us:
                _, fact = queue.pop(0)
                key = fact.service.encode()
                count = 0 if isinstance(fact, ServiceInventory) else 1
                yield senders[topic].send(now_us, key, encode(fact), count, partition_of(key, partitions))
        if now_us % (2 * FLUSH_US) == 0:
            for sender in senders.values():
                for partition in range(partitions):
                    yield sender.send(now_us, HEARTBEAT_KEY, None, 0, partition)


def _flush(story: Story, sender: _Writer, waiting: dict[str, list[_Record]], now_us: int) -> Iterator[Sent]:
    for service, records in waiting.items():
        ready = []
        while records and records[-1].sent_us < now_us:
            ready.append(records.pop())
        for first in range(0, len(ready), story.batch):
            packed = ready[first : first + story.batch]
            value = encode(_SIGNALS[sender.topic](story.run_id, service, packed))
            key = service.encode()
            yield sender.send(now_us, key, value, len(packed), partition_of(key, sender.partitions))


@dataclass(frozen=True, slots=True, order=True)
class _Record:
    sent_us: int
    time_us: int
    number: int
    value: float


def _records(story: Story, topic: str) -> dict[str, list[_Record]]:
    """Records of each service, last sent first."""
    found = {}
    for service in story.services:
        rng = random.Random(f"{story.seed}/{topic}/{service}")
        records = []
        for number in range(story.seconds * 8):
            time_us = story.start_us + rng.randrange(story.seconds * _S)
            if service == story.services[1] and _is_paused(story, time_us):
                time_us -= (PAUSE_S[1] - PAUSE_S[0]) * _S
            late = rng.random() < story.late_ratio
            delay = rng.randrange(2 * _S, 36 * _S) if late else rng.randrange(800_000)
            if service == story.services[-1]:
                delay += GATHER_US - (time_us + 2 * _S) % GATHER_US
            records.append(_Record(time_us + delay, time_us, number, rng.random() * 100))
        found[service] = sorted(records, reverse=True)
    return found


def _is_paused(story: Story, time_us: int) -> bool:
    return PAUSE_S[0] <= (time_us - story.start_us) // _S < PAUSE_S[1]


def _kind(service: str) -> str:
    return "load_generator" if service == LOAD_GENERATOR else "service"


def _column(values: Iterable[float], dtype: str) -> bytes:
    return np.array(list(values), dtype).tobytes()


def _metrics(run_id: str, service: str, records: Sequence[_Record]) -> MetricBatch:
    return MetricBatch(
        run_id=run_id,
        service=service,
        source_kind=_kind(service),
        instances=(f"{service}-0", f"{service}-1"),
        names=("cpu", "memory", "queue"),
        time_us=_column((r.time_us for r in records), "<i8"),
        instance=_column((r.number % 2 for r in records), "<u2"),
        name=_column((r.number % 3 for r in records), "<u2"),
        value=_column((r.value for r in records), "<f8"),
    )


def _logs(run_id: str, service: str, records: Sequence[_Record]) -> LogBatch:
    return LogBatch(
        run_id=run_id,
        service=service,
        source_kind=_kind(service),
        instances=(f"{service}-0",),
        templates=("request <*> done", "request <*> failed"),
        time_us=_column((r.time_us for r in records), "<i8"),
        instance=_column((0 for _ in records), "<u2"),
        severity=_column((17 if r.number % 9 == 0 else 9 for r in records), "u1"),
        template=_column((int(r.number % 9 == 0) for r in records), "<u2"),
        trace_id=b"".join(r.number.to_bytes(16, "little") for r in records),
        span_id=b"".join(r.number.to_bytes(8, "little") for r in records),
        line_id=_column((r.number + 1 for r in records), "<u8"),
        bodies=tuple(f"request {r.number} {'failed' if r.number % 9 == 0 else 'done'}" for r in records),
    )


def _spans(run_id: str, service: str, records: Sequence[_Record]) -> SpanBatch:
    durations = [int(r.value * 1000) for r in records]
    return SpanBatch(
        run_id=run_id,
        service=service,
        source_kind=_kind(service),
        instances=(f"{service}-0",),
        endpoints=("GetCart", "AddItem"),
        peers=("", "redis"),
        start_us=_column((r.time_us - d for r, d in zip(records, durations, strict=True)), "<i8"),
        duration_us=_column(durations, "<i8"),
        instance=_column((0 for _ in records), "<u2"),
        endpoint=_column((r.number % 2 for r in records), "<u2"),
        peer=_column((int(r.number % 4 == 3) for r in records), "<u2"),
        kind=_column((3 if r.number % 4 == 3 else 2 for r in records), "u1"),
        error=_column((int(r.number % 10 == 0) for r in records), "u1"),
        trace_id=b"".join(r.number.to_bytes(16, "little") for r in records),
        span_id=b"".join((r.number + 1).to_bytes(8, "little") for r in records),
        parent_id=b"\0" * 8 * len(records),
    )


_SIGNALS = {
    catalogue.TELEMETRY_METRICS: _metrics,
    catalogue.TELEMETRY_LOGS: _logs,
    catalogue.TELEMETRY_TRACES: _spans,
}
