from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.truth.journal import Journal
from benchmarks.truth.placebo import S, Trial, passes, run_pass
from benchmarks.truth.recording import Described, Recording, most_failed, write
from benchmarks.truth.strengths import Strength, fault_of, strengths_of
from microservo.domain.faults.catalogue import KINDS
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


def trial(number: int, second: int) -> Trial:
    return Trial(
        number=number,
        kind="network-delay",
        strength="default",
        length_s=10,
        service="cart",
        applied_us=BEGIN_US + second * S,
    )


def test_nothing_is_said_of_a_virtual_fault_unless_something_happened() -> None:
    quiet, slow = run_pass(recording(slow=range(260, 270)), [trial(1, 150), trial(2, 260)])
    assert (quiet.verdict == "confirmed", quiet.affected) == (False, ())
    assert slow.verdict == "confirmed"
    assert "front" in slow.affected
    assert slow.evidence


def test_passes_have_every_trial_and_none_touches_another() -> None:
    strengths: tuple[Strength, ...] = ("weak", "strong")
    wanted = [("network-delay", strength, length_s) for strength in strengths for length_s in (2, 30)]
    found = list(passes(recording(), wanted * 3, seed=1, first_number=7))
    trials = [each for some in found for each in some]
    assert [each.number for each in trials] == list(range(7, 19))
    assert Counter((each.kind, each.strength, each.length_s) for each in trials) == Counter(wanted * 3)
    assert {each.service for each in trials} <= {"front", "cart"}
    for some in found:
        for before, after in itertools.pairwise(some):
            assert before.applied_us + (before.length_s + 60) * S <= after.applied_us
        assert some[-1].applied_us + (some[-1].length_s + 60) * S <= recording().described.end_us
        assert some[0].applied_us >= BEGIN_US + 90 * S


def test_every_kind_has_parameters_at_each_of_its_strengths() -> None:
    for kind in KINDS:
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
