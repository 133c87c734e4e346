from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.truth.journal import Journal
from benchmarks.truth.placebo import EARLIER_US, Findings, Judged, run_pass, told
from benchmarks.truth.recording import Described, Recording, most_failed, write
from benchmarks.truth.strengths import contracts, fault_of, kinds_of_services, strengths_of
from benchmarks.truth.trials import LENGTHS_S, S, Trial, trials_of
from microservo.domain.effects import EffectObserver
from microservo.domain.telemetry import CLIENT_SPAN, SERVER_SPAN, Batch
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.system import SystemOptions
from microservo.testing import MemoryBroker
from schemas.catalogue import SERVICE_GRAPH, TELEMETRY_TRACES
from schemas.codec import encode
from schemas.envelope import Stamp
from schemas.records import Experiment, RunWriter, ServiceGraph, SpanBatch

BEGIN_US = 1_700_000_000_000_000
SECONDS = 400
EDGES = (("front", "cart"), ("loadgen", "front"))


def second_of_spans(second: int, rng: random.Random, slower_us: int = 0) -> list[Batch]:
    """Twelve calls of the cart by the front, as each side saw them."""
    starts = [BEGIN_US + second * S + rng.randrange(S) for _ in range(12)]
    took = [round(rng.lognormvariate(9, 0.3)) + slower_us for _ in starts]
    return [
        SpanBatch(
            run_id="run-1",
            service=service,
            instances=(f"{service}-0",),
            endpoints=("Get",),
            peers=(peer,),
            start_us=np.array(starts, np.int64).tobytes(),
            duration_us=np.array(took, np.int64).tobytes(),
            instance=bytes(24),
            endpoint=bytes(24),
            peer=bytes(24),
            kind=bytes([kind]) * 12,
            error=bytes(12),
            trace_id=rng.randbytes(16 * 12),
            span_id=rng.randbytes(8 * 12),
            parent_id=bytes(8 * 12),
        )
        for service, kind, peer in (("front", CLIENT_SPAN, "cart"), ("cart", SERVER_SPAN, ""))
    ]


def recording(slow: Sequence[int] = ()) -> Recording:
    """Calls without faults, but for the seconds in which they were slow."""
    rng = random.Random(5)
    steps = [
        (
            BEGIN_US + second * S - S,
            tuple(second_of_spans(second, rng, 300_000 if second in slow else 0)),
        )
        for second in range(SECONDS)
    ]
    described = Described(
        run_id="run-1",
        seed=5,
        journeys_per_s=8,
        begin_us=BEGIN_US,
        end_us=BEGIN_US + (SECONDS - 1) * S,
        edges=EDGES,
    )
    return Recording(described=described, steps=steps)


def trial(number: int, second: int, length_s: int = 10) -> Trial:
    return Trial(
        contract="network-delay default",
        number=number,
        kind="network-delay",
        strength="default",
        length_s=length_s,
        service="cart",
        applied_us=BEGIN_US + second * S,
    )


def test_nothing_is_said_of_a_virtual_fault_unless_something_happened() -> None:
    quiet, slow = run_pass(recording(slow=range(260, 270)), [trial(1, 150), trial(2, 260)])
    assert (quiet.verdict == "confirmed", quiet.affected) == (False, ())
    assert slow.verdict == "confirmed"
    assert "front" in slow.affected
    assert slow.evidence


def test_what_is_found_of_many_virtual_faults_at_once_is_what_is_found_of_each_alone() -> None:
    recorded = recording(slow=[*range(200, 203), *range(260, 270)])
    trials = [trial(1, 258, 30), trial(2, 150), trial(3, 199, 5), trial(4, 260), trial(5, 330, 2)]
    found = run_pass(recorded, trials)
    assert found == [alone(recorded, each) for each in trials]
    assert {each.verdict for each in found} == {"confirmed", "inconclusive"}


def alone(recorded: Recording, tried: Trial) -> Judged:
    """What an observer that knows of one fault only, and reads the telemetry itself, says of it."""
    observer = EffectObserver("run-1")
    coming = deque(told(recorded, tried))
    findings = Findings(tried)
    for watermark_us, batches in recorded.steps:
        for batch in batches:
            observer.telemetry(batch)
        while coming and coming[0][0] <= watermark_us + EARLIER_US:
            observer.fault(coming.popleft()[1])
        findings.update(observer.advance(watermark_us))
    return findings.judged


def test_trials_of_a_contract_are_spread_over_the_recording_and_none_shares_its_telemetry() -> None:
    declared = contracts()[0]
    trials = trials_of(recording().described, declared, count=20, seed=1)
    assert trials == trials_of(recording().described, declared, count=20, seed=1)
    assert Counter(each.length_s for each in trials) == dict.fromkeys(LENGTHS_S, 5)
    assert {each.service for each in trials} <= {"front", "cart"}
    for each in trials:
        assert each.applied_us >= BEGIN_US + 90 * S
        assert each.end_us + 60 * S <= recording().described.end_us
    for before, after in itertools.combinations(trials, 2):
        apart = before.end_us <= after.applied_us or after.end_us <= before.applied_us
        assert apart or before.service != after.service


def test_kinds_that_declare_the_same_contract_are_tried_as_one() -> None:
    found = contracts()
    names = [name for each in found for name in each.names]
    assert sorted(names) == sorted(
        f"{kind} {each}" for kind in kinds_of_services() for each in strengths_of(kind)
    )
    (slow,) = [each for each in found if "network-delay default" in each.names]
    assert {"http-delay", "network-delay"} <= slow.kinds
    assert all("process-pause default" not in each.names or len(each.names) == 1 for each in found)


def test_every_kind_has_parameters_at_each_of_its_strengths() -> None:
    for kind in kinds_of_services():
        faults = [fault_of(kind, strength) for strength in strengths_of(kind)]
        assert len({repr(fault.canonical()) for fault in faults}) == len(faults)
        assert [fault.severity for fault in faults] == sorted(fault.severity for fault in faults)


def test_a_recording_is_the_telemetry_of_its_run_in_the_order_it_came(tmp_path: Path) -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(partitions=2))
    telemetry = ("telemetry-metrics", "telemetry-logs", TELEMETRY_TRACES)
    run = Experiment(
        run_id="run-1",
        status="finished",
        seed=5,
        target="shop",
        started_at_us=BEGIN_US,
        window_us=5 * S,
        first_cut_us=2 * S,
        final_cut_us=30 * S,
        start_offsets={},
        end_offsets={},
        versions={},
        writers=tuple(
            RunWriter(topic=topic, writer="w", from_us=BEGIN_US, first_cut_us=2 * S, final_cut_us=30 * S)
            for topic in telemetry
        ),
    )
    write_run(broker, run, process="system", clock=lambda: BEGIN_US)
    graph = ServiceGraph(
        run_id="run-1",
        start_us=BEGIN_US,
        end_us=BEGIN_US + S,
        callers=("front", "loadgen"),
        callees=("cart", "front"),
        calls=(12, 12),
        errors=(0, 0),
    )
    rng, sent = random.Random(1), []
    with broker.producer() as producer:
        producer.send(SERVICE_GRAPH, key=b"run-1", value=encode(graph))
        for second in range(10):
            sent += second_of_spans(second, rng)
            for topic in telemetry:
                for partition in range(2):
                    stamp = Stamp("run-1", BEGIN_US + second * S, "w", second, second)
                    value = encode(sent[2 * second + partition]) if topic == TELEMETRY_TRACES else None
                    at_us = BEGIN_US + second * S
                    producer.send(
                        topic,
                        key=b"k",
                        value=value,
                        headers=stamp.headers(),
                        partition=partition,
                        timestamp_us=at_us,
                    )
        producer.flush(10)
    path = tmp_path / "one.recording"
    write(broker, "run-1", SystemOptions(seed=5), path)
    read = Recording.read(path)
    assert read.described.edges == EDGES
    assert [batch for _, batches in read.steps for batch in batches][: len(sent) - 2] == sent[:-2]
    assert [watermark_us for watermark_us, _ in read.steps] == sorted(
        {BEGIN_US + second * S - 2 * S for second in range(10)}
    )


def test_a_recording_says_when_its_users_were_not_served() -> None:
    assert most_failed(recording()) == 0.0
    broken = [
        (watermark_us, (users_second(at, failed=40 <= at < 50), *batches))
        for at, (watermark_us, batches) in enumerate(recording().steps)
    ]
    assert most_failed(replace(recording(), steps=broken)) == pytest.approx(1.0)


def users_second(second: int, *, failed: bool) -> SpanBatch:
    """What the users met within a second."""
    (front, _) = second_of_spans(second, random.Random(second))
    assert isinstance(front, SpanBatch)
    starts = np.arange(12) * (S // 12) + BEGIN_US + second * S
    return replace(
        front, service="loadgen", error=bytes([failed]) * 12, start_us=starts.astype(np.int64).tobytes()
    )


def test_a_benchmark_goes_on_behind_what_it_has_measured(tmp_path: Path) -> None:
    quiet = Journal(tmp_path / "deep" / "placebo.jsonl", {"machine": "quiet"})
    busy = Journal(tmp_path / "deep" / "placebo.jsonl", {"machine": "busy"})
    assert list(quiet.lines()) == []
    quiet.add(trial(1, 0), journeys_per_s=8)
    busy.add(replace(trial(1, 0), number=2))
    with (tmp_path / "deep" / "placebo.jsonl").open("a") as file:
        file.write('{"machine": "quiet", "num')
    assert [line["number"] for line in quiet.lines()] == [1]
    assert [line["number"] for line in busy.lines()] == [2]


@pytest.mark.parametrize("kind", ["noop", "process-pause"])
def test_a_kind_without_parameters_has_one_strength(kind: str) -> None:
    assert strengths_of(kind) == ("default",)
