from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.sample import sample_of
from microservo.algorithms.sample import Sample
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.testing import MemoryBroker
from schemas.catalogue import topic_of
from schemas.codec import decode_as, encode
from schemas.examples import example_bytes
from schemas.files import record_name
from schemas.records import (
    Experiment,
    FaultEffect,
    FaultEvent,
    FeatureWindow,
    LabelledWindow,
    ServiceGraph,
    Truth,
)

S = 1_000_000
BEGIN_US = 1_700_000_000 * S


def window(service: str, number: int, revision: int = 0, value: float = 1.0) -> FeatureWindow:
    return FeatureWindow(
        run_id="run-1",
        service=service,
        start_us=BEGIN_US + number * 5 * S,
        end_us=BEGIN_US + (number + 1) * 5 * S,
        revision=revision,
        names=("a",),
        values=(value,),
    )


def labelled(service: str, number: int, revision: int, truth: Truth) -> LabelledWindow:
    return LabelledWindow(
        run_id="run-1",
        service=service,
        start_us=BEGIN_US + number * 5 * S,
        end_us=BEGIN_US + (number + 1) * 5 * S,
        revision=revision,
        names=(),
        values=(),
        labels=(),
        truth=truth,
    )


def graph(second: int) -> ServiceGraph:
    end_us = BEGIN_US + second * S
    return ServiceGraph(
        run_id="run-1",
        start_us=end_us - S,
        end_us=end_us,
        callers=("front",),
        callees=("cart",),
        calls=(1,),
        errors=(0,),
    )


def effect(service: str, version: int, finding: str, ends_us: tuple[int, ...]) -> FaultEffect:
    return FaultEffect(
        run_id="run-1",
        fault_id="f-1",
        service=service,
        version=version,
        root_service="cart",
        relation="root",
        finding=finding,  # type: ignore[arg-type]
        starts_us=ends_us and (BEGIN_US + 12 * S,),
        ends_us=ends_us,
        is_open=False,
        through_us=BEGIN_US + 60 * S,
        is_final=True,
    )


FAULT = FaultEvent(
    run_id="run-1",
    fault_id="f-1",
    version=5,
    kind="http-abort",
    service="cart",
    instance="cart-0",
    state="recovered",
    at_us=BEGIN_US,
    requested_at_us=BEGIN_US,
    duration_us=5 * S,
    parameters={},
    applied_at_us=BEGIN_US + 11 * S,
    severity=0.5,
)


@pytest.fixture
def sample() -> Sample:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(prefix="t-", partitions=2))
    newest = max(version for record, version in example_bytes() if record == "experiment")
    example = decode_as(Experiment, next(iter(example_bytes()["experiment", newest].values())))
    run = replace(
        example,
        run_id="run-1",
        started_at_us=BEGIN_US - 60 * S,
        start_offsets={},
        end_offsets={},
        fault_free_until_us=BEGIN_US + 10 * S,
    )
    write_run(broker, run, process="system", clock=lambda: BEGIN_US, topic_prefix="t-")
    records = (
        *(window("front", 1), window("cart", 1), window("cart", 0)),
        *(window("cart", 0, value=2.0), window("cart", 0, revision=1, value=3.0)),
        *(window("cart", -1), labelled("cart", -1, 0, "normal")),
        replace(window("cart", 7), run_id="run-0"),
        *(labelled("cart", 0, 0, "masked"), labelled("cart", 0, 2, "anomalous")),
        labelled("cart", 0, 1, "normal"),
        *(graph(9), graph(4)),
        *(effect("cart", 2, "visible", (BEGIN_US + 12 * S,)), effect("cart", 1, "undecided", ())),
        effect("front", 1, "not_visible", ()),
    )
    with broker.producer() as producer:
        for record in records:
            topic = topic_of(record_name(type(record))).physical("t-")
            producer.send(topic, key=b"cart", value=encode(record))
    return sample_of(broker, "t-", "run-1", [FAULT])


def test_each_window_is_there_once_as_algorithms_were_first_given_it(sample: Sample) -> None:
    found = [((each.start_us - BEGIN_US) // S, each.service, each.values) for each in sample.windows]
    assert found == [(0, "cart", (1.0,)), (5, "cart", (1.0,)), (5, "front", (1.0,))]
    assert {each.run_id for each in sample.windows} == {"sample"}


def test_what_was_while_caches_filled_is_left_out(sample: Sample) -> None:
    places = [*sample.truth, *((each.service, each.start_us) for each in sample.windows)]
    assert min(start_us for _, start_us in places) == BEGIN_US


def test_the_truth_is_the_newest(sample: Sample) -> None:
    assert sample.truth == {("cart", BEGIN_US): "anomalous"}


def test_an_edge_counts_from_when_it_was_first_known(sample: Sample) -> None:
    assert sample.edges == [("front", "cart", BEGIN_US + 4 * S)]


def test_effects_are_those_that_were_seen(sample: Sample) -> None:
    (found,) = sample.effects
    assert (found.service, found.kind, found.severity) == ("cart", "http-abort", 0.5)
    assert found.start_us < found.end_us, "one record alone has a length too"
    assert found.incident().effect_us == BEGIN_US + 12 * S


def test_it_says_how_many_faults_of_each_kind_there_were_seen_or_not(sample: Sample) -> None:
    assert sample.about["faults"] == {"http-abort": 1}


def test_it_is_written_with_machine_and_seed(sample: Sample, tmp_path: Path) -> None:
    sample.write(tmp_path)
    assert {"seed", "machines", "command"} <= set(Sample.read(tmp_path).about)
