from typing import Any

import pytest

from benchmarks.figures import figure
from benchmarks.latencies import label_latencies, measure_latencies, quantile
from benchmarks.live import live_figures
from microservo.adapters.broker import Message, TopicSpec
from microservo.domain.joined_topics import WAITED_FOR
from microservo.testing import MemoryBroker
from schemas import catalogue
from schemas.codec import encode
from schemas.envelope import HEARTBEAT_KEY, Stamp
from schemas.records import AnomalyScore, Experiment, FeatureWindow, LabelledWindow, ServiceFault

US = 1_000_000
END_US = 100 * US
CUT_US = 2 * US


def fault(**times: Any) -> ServiceFault:
    return ServiceFault(
        run_id="run-1",
        fault_id="f1",
        version=1,
        kind="cpu-hog",
        service="cart",
        root_service="cart",
        role="root_cause",
        hops=0,
        severity=1.0,
        requested_at_us=0,
        **times,
    )


def message(record: Any, timestamp_us: int) -> Message:
    return Message(
        topic="t",
        partition=0,
        offset=0,
        timestamp_us=timestamp_us,
        key=b"cart",
        value=encode(record),
        headers=(),
    )


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.001, 1.0)])
def test_a_quantile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert quantile([float(value) for value in range(100, 0, -1)], share) == expected


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile([], 0.99) is None


def test_a_confirmation_counts_once_from_the_first_record_that_states_it() -> None:
    records = [
        message(fault(), 10 * US),
        message(fault(applied_at_us=20 * US), 20 * US + 7_000),
        message(fault(applied_at_us=20 * US), 25 * US),
        message(fault(applied_at_us=20 * US, recovered_at_us=30 * US), 30 * US + 9_000),
    ]
    assert list(label_latencies(records, "run-1")) == [7.0, 9.0]
    assert list(label_latencies(records, "run-2")) == []


def test_the_latencies_of_a_run_are_read_off_its_topics() -> None:
    broker = MemoryBroker()
    specs = [TopicSpec(name=name, partitions=1, config={}) for name in catalogue.catalogue()]
    broker.admin().ensure_topics(specs)
    window: dict[str, Any] = {
        "run_id": "run-1",
        "service": "cart",
        "start_us": END_US - 5 * US,
        "end_us": END_US,
        "revision": 0,
    }
    mark_us = END_US + CUT_US + 40_000
    with broker.producer() as producer:

        def send(topic: str, record: Any, at_us: int) -> None:
            producer.send(topic, key=b"cart", value=encode(record), timestamp_us=at_us)

        for number, source in enumerate(WAITED_FOR):
            for watermark_us, at_us in ((END_US, END_US), (END_US + CUT_US, mark_us - number * 10_000)):
                stamp = Stamp(run="run", watermark_us=watermark_us, writer="w", sequence=0, total=0)
                producer.send(
                    source, key=HEARTBEAT_KEY, value=None, headers=stamp.headers(), timestamp_us=at_us
                )
        send(
            catalogue.LABELLED_WINDOWS,
            LabelledWindow(**window, names=(), values=(), labels=()),
            mark_us + 30_000,
        )
        send(catalogue.FEATURE_WINDOWS, FeatureWindow(**window, names=(), values=()), mark_us + 31_000)
        score = AnomalyScore(**window, algorithm="n-sigma", score=1.0, scored_at_us=0, latency_us=0)
        send(catalogue.ANOMALY_SCORES, score, mark_us + 36_000)
        send(catalogue.EXPERIMENTS, _run(), END_US)
        producer.flush(5)
    found = measure_latencies(broker, "run-1", "")
    assert (found.label, found.window, found.score) == ([], [30.0], [5.0])


def test_without_a_system_the_rows_say_which_command_adds_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path_factory.mktemp("home")))
    figures = live_figures("default")
    assert [each.value for each in figures] == [None] * 6
    assert all("microservo up" in each.command for each in figures)


def test_a_figure_without_its_peer_has_no_ratio() -> None:
    assert figure("x", 3.0, "s", peer="p", peer_value=None, command="c").ratio is None
    assert figure("x", None, "s", peer="p", peer_value=2.0, command="c").ratio is None
    assert figure("x", 3.0, "s", peer="p", peer_value=2.0, command="c").ratio == 1.5


def _run() -> Experiment:
    return Experiment(
        run_id="run-1",
        status="finished",
        seed=1,
        target="t",
        started_at_us=0,
        window_us=5 * US,
        first_cut_us=CUT_US,
        final_cut_us=30 * US,
        start_offsets={},
        end_offsets={},
        versions={},
    )
