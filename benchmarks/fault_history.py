"""Listing faults and starting the injector behind a long history: `python -m benchmarks.fault_history`.

The history is that of one fault, carried through all its states by `decide`, written again under other names.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.command import run
from benchmarks.figures import Figure, figure
from microservo.adapters.broker import Broker, Producer
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.domain.faults.decider import CLOSED_KEPT, InjectorState, decide
from microservo.domain.faults.decider.actions import Publish
from microservo.domain.faults.decider.events import (
    ApplyConfirmed,
    Event,
    Judged,
    RecoveryConfirmed,
    RequestReceived,
    TargetSeen,
    TargetView,
    Timer,
    TimerDue,
)
from microservo.domain.faults.decider.snapshot import events_of
from microservo.log.faults import all_latest_events, latest_events
from microservo.log.reader import ranges_from, read_topic
from microservo.log.stamped import StampedWriter
from microservo.log.topics import topic_specs
from microservo.platforms.local.platform import LocalPlatform
from microservo.retry import retry
from schemas.catalogue import FAULT_EVENTS, FAULTS, SERVICE_FAULTS
from schemas.codec import encode
from schemas.records import FaultRequest, FaultSnapshot, FaultVerdict
from services.fault_injector.performing import Performer, ThreadWorkers, Workers
from services.fault_injector.service import WRITER, start
from services.fault_injector.settings import FaultInjectorSettings

COMMAND = "python -m benchmarks.fault_history"
SHORT, LONG = 100, 100_000
_ROUNDS = 5
_COMPACTED_WITHIN_S = 180.0
_LOOK_EVERY_S = 10.0
_LATER_FAULTS = 500
_STATES_AT_REST = 15_000
"""Messages that may lie in the segment that is still written to, and in a tenth that may be superseded."""
_SECOND_US = 1_000_000
_PACE = threading.Event()
REQUEST = FaultRequest(
    fault_id="f-1",
    action="inject",
    requested_at_us=0,
    kind="network-delay",
    service="cart",
    parameters={"latency": "300ms"},
    duration_us=20 * _SECOND_US,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds that each of these takes, and how many messages its topic of states holds."""

    listing_s: float
    scan_s: float
    start_s: float
    states: int


def figures(broker: Broker) -> list[Figure]:
    """The figures of a long history against those of a short one; takes a minute or two."""
    short, long = measured(broker, "short-", SHORT), measured(broker, "long-", LONG)
    peer = f"{SHORT:,} past faults"
    return [
        figure(
            f"list faults, {LONG:,} past ones",
            long.listing_s,
            "s",
            peer=peer,
            peer_value=short.listing_s,
            command=COMMAND,
        ),
        figure(
            f"start the injector, {LONG:,} past faults",
            long.start_s,
            "s",
            peer=peer,
            peer_value=short.start_s,
            command=COMMAND,
        ),
        figure(
            f"list faults, {LONG:,} past ones",
            long.listing_s,
            "s",
            peer="by the whole history",
            peer_value=long.scan_s,
            command=COMMAND,
        ),
    ]


def measured(broker: Broker, prefix: str, faults: int) -> Times:
    """Writes a history of so many faults, and takes the times once the broker has compacted their states."""
    broker.admin().ensure_topics(topic_specs(prefix=prefix))
    write_history(broker, prefix, range(faults), linger_ms=20)
    states = _compacted(broker, prefix, faults)
    return Times(
        listing_s=median_s(lambda: latest_events(broker, prefix + FAULTS)),
        scan_s=seconds(lambda: all_latest_events(broker, prefix + FAULT_EVENTS)),
        start_s=_start_s(broker, prefix),
        states=states,
    )


def write_history(broker: Broker, prefix: str, numbers: range, *, linger_ms: int) -> None:
    """Events and states as an injector writes them; it reads service faults only of what is unfinished."""
    steps, end_us = _steps(), now_us() - 3600 * _SECOND_US
    with broker.producer(linger_ms=linger_ms) as producer:
        for number in numbers:
            for step in steps:
                _write_step(producer, prefix, step, f"past-{number}", end_us + number)
            if number >= CLOSED_KEPT:
                _send(producer, prefix + FAULTS, f"past-{number - CLOSED_KEPT}", None)
            if not linger_ms:
                producer.flush(60)
        producer.flush(60)
        with broker.consumer(group_id=None) as consumer:
            ranges = sorted(ranges_from(consumer, prefix + FAULT_EVENTS).items())
        last = _renamed(steps[-1].snapshot, f"past-{numbers[-1]}", end_us + numbers[-1])
        state = replace(last, positions=tuple(end for _, (_, end) in ranges))
        _send(producer, prefix + FAULTS, last.fault_id, encode(state))
        producer.flush(60)


def _compacted(broker: Broker, prefix: str, faults: int) -> int:
    """How many messages a reader of the states meets, once the broker has compacted them.

    A hundred thousand faults are written within minutes here, so what was deleted is still kept for readers
    that are on their way. Then faults come one by one, as in a run, and the broker cleans up behind them.
    """
    deadline_s = time.monotonic() + _COMPACTED_WITHIN_S
    while (found := _count(broker, prefix + FAULTS)) > _STATES_AT_REST and time.monotonic() < deadline_s:
        write_history(broker, prefix, range(faults, faults + _LATER_FAULTS), linger_ms=0)
        faults += _LATER_FAULTS
        _PACE.wait(_LOOK_EVERY_S)
    return found


def _write_step(producer: Producer, prefix: str, step: Publish, fault_id: str, at_us: int) -> None:
    for event in step.events:
        value = encode(replace(event, fault_id=fault_id, at_us=at_us))
        _send(producer, prefix + FAULT_EVENTS, fault_id, value)
    _send(producer, prefix + FAULTS, fault_id, encode(_renamed(step.snapshot, fault_id, at_us)))


def _renamed(snapshot: FaultSnapshot, fault_id: str, at_us: int) -> FaultSnapshot:
    events = [encode(replace(each, fault_id=fault_id, at_us=at_us)) for each in events_of(snapshot)]
    request = encode(replace(REQUEST, fault_id=fault_id))
    return replace(snapshot, fault_id=fault_id, records=(request, *events))


def _send(producer: Producer, topic: str, key: str, value: bytes | None) -> None:
    retry(lambda: producer.send(topic, key=key.encode(), value=value), timeout_s=60)


def _steps() -> list[Publish]:
    """What is published of one fault, from its request to its verdict."""
    timer = Timer(task="apply", fault_id=REQUEST.fault_id)
    recover = Timer(task="recover", fault_id=REQUEST.fault_id, instance="cart-0")
    verdict = FaultVerdict(
        run_id="run-1",
        fault_id=REQUEST.fault_id,
        service=REQUEST.service,
        version=1,
        verdict="confirmed",
        effect_seen_at_us=1,
        is_final=True,
    )
    applied = ApplyConfirmed(
        now_us=1, fault_id=REQUEST.fault_id, instance="cart-0", at_us=1, evidence="in force on 2 connections"
    )
    recovered = RecoveryConfirmed(
        now_us=3, fault_id=REQUEST.fault_id, instance="cart-0", at_us=3, evidence="out of force"
    )
    target = TargetView(
        services={"cart": ("cart-0",)}, edges=frozenset({("front", "cart")}), kinds=frozenset({REQUEST.kind})
    )
    events: list[Event] = [
        TargetSeen(now_us=0, target=target),
        RequestReceived(now_us=0, request=REQUEST),
        TimerDue(now_us=0, timer=timer),
        applied,
        TimerDue(now_us=2, timer=recover),
        recovered,
        Judged(now_us=4, verdict=verdict),
    ]
    state, published = InjectorState(run_id="run-1"), []
    for event in events:
        state, actions = decide(state, event)
        published += [action for action in actions if isinstance(action, Publish)]
    return published


def _count(broker: Broker, topic: str) -> int:
    return sum(1 for _ in read_topic(broker, topic))


def _start_s(broker: Broker, prefix: str) -> float:
    """The median time from reading the states back until requests can be read."""
    with tempfile.TemporaryDirectory() as folder:
        no_target = Path(folder) / "target.json"
        settings = FaultInjectorSettings(topic_prefix=prefix, run_id="run-1", target_state=no_target)
        writer = StampedWriter(
            broker,
            settings.topic(SERVICE_FAULTS),
            writer=WRITER,
            run_id=lambda: settings.run_id,
            clock=now_us,
            source="benchmark",
        )
        with writer, broker.producer() as producer, ExitStack() as stack:

            def workers(performer: Performer) -> Workers:
                return stack.enter_context(closing(ThreadWorkers(performer)))

            return median_s(
                lambda: start(
                    settings,
                    broker=broker,
                    producer=producer,
                    writer=writer,
                    platform=LocalPlatform(no_target, clock=now_us),
                    workers=workers,
                    clock=now_us,
                )
            )


def median_s(act: Callable[[], object]) -> float:
    """The median time of a few calls, seconds."""
    return statistics.median(seconds(act) for _ in range(_ROUNDS))


def seconds(act: Callable[[], object]) -> float:
    """The time of one call, seconds."""
    started_s = time.perf_counter()
    act()
    return time.perf_counter() - started_s


def _on_a_broker(folder: Path, _: argparse.Namespace) -> list[Figure]:
    with running_broker(folder / "broker") as process:
        return figures(KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers)))


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(parser, _on_a_broker, name="fault_history", title="Faults behind a long history")


if __name__ == "__main__":
    sys.exit(main())
