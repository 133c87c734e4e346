"""A past range goes onto the topics as a run of its own, the same whether it was interrupted or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_run import end_offsets

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.datasets import rebuild, verify
from microservo.domain.completeness import MINUTE_US, standing_of, stretches
from microservo.domain.datasets.manifest import Manifest
from microservo.domain.rows import CUMULATIVE, CodedSeries, LogRows, PointRows, SpanRows, coded
from microservo.errors import Fatal, InvalidInput, Retryable
from microservo.log.collected_minutes import collected_minutes
from microservo.log.run_records import update_run, write_run
from microservo.log.topics import topic_specs
from microservo.log.writers import retire_writer, telemetry_writer
from microservo.runtime.shutdown import Shutdown
from microservo.sources.declared import source_named
from microservo.sources.past import FINAL_CUT_US, PastRange, StoreSettings, past_range
from microservo.sources.prometheus.settings import PrometheusSettings
from microservo.sources.tailed import Page, Place
from microservo.testing import MemoryBroker
from schemas.records import Experiment
from services.telemetry_collector.past import collect_past
from services.telemetry_collector.settings import Settings

S = 1_000_000
FROM_US = 1_769_860_800 * S
MINUTES = 6
PAST = PastRange(
    from_us=FROM_US,
    until_us=FROM_US + MINUTES * MINUTE_US,
    source=(PrometheusSettings(url="http://127.0.0.1:9090"),),
)
SETTINGS = Settings.model_validate({"run_id": "run-past"})
TABLES = ("windows.parquet", "metrics.parquet", "logs.parquet", "traces.parquet")


class Remembering:
    """A store of one service: a counter, lines and spans, a record of each in a second."""

    def __init__(self, *, away: int = 0) -> None:
        self.away = away

    def due(self, begin_us: int, end_us: int) -> int:
        return 3 * (end_us - begin_us) // S

    def between(self, begin_us: int, end_us: int) -> Iterator[Page]:
        if self.away:
            self.away -= 1
            msg = "away"
            raise Retryable(msg)
        time_us = np.arange(begin_us, end_us, S)
        place = Place("", end_us)
        held = len(time_us)
        yield Page(signal="metrics", rows=(counter(time_us),), place=place, held=held)
        yield Page(signal="logs", rows=(lines(time_us),), place=place, held=held)
        yield Page(signal="traces", rows=(spans(time_us),), place=place, held=held)

    def close(self) -> None:
        pass


def counter(time_us: np.ndarray[Any, Any]) -> PointRows:
    count = len(time_us)
    series = CodedSeries(metrics=("served",), labels=("",), scopes=("",), codes=np.zeros(count, np.int64))
    value = ((time_us - FROM_US) // S).astype(np.float64) ** 2
    return PointRows(
        service="cart",
        instance="a",
        time_us=time_us,
        start_us=np.zeros(count, np.int64),
        series=series,
        value=value,
        temporality=np.full(count, CUMULATIVE, np.uint8),
    )


def lines(time_us: np.ndarray[Any, Any]) -> LogRows:
    count = len(time_us)
    return LogRows(
        service="cart",
        instance="a",
        time_us=time_us,
        severity=np.full(count, 9, np.uint8),
        template=coded(["served"] * count),
        trace_id=np.zeros(count, "V16"),
        span_id=np.zeros(count, "V8"),
        line_id=time_us.astype(np.uint64),
        bodies=("served",) * count,
    )


def spans(time_us: np.ndarray[Any, Any]) -> SpanRows:
    """Spans that each last seven seconds: some end in the next minute."""
    count = len(time_us)
    return SpanRows(
        service="cart",
        instance="a",
        start_us=time_us,
        duration_us=np.full(count, 7 * S),
        endpoint=coded(["Get"] * count),
        peer=coded([""] * count),
        address=coded([""] * count),
        kind=np.full(count, 2, np.uint8),
        protocol=np.zeros(count, np.uint8),
        error=np.zeros(count, np.uint8),
        trace_id=time_us.astype("<u8").repeat(2).view("V16"),
        span_id=time_us.astype("<u8").view("V8"),
        parent_id=np.zeros(count, "V8"),
    )


class Dying:
    """A broker that takes so many messages, and then none of this process any more."""

    def __init__(self, broker: Broker, messages: int) -> None:
        self._broker = broker
        self.left = messages

    def producer(self, **options: Any) -> Any:
        return _DyingProducer(self, self._broker.producer(**options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


class _DyingProducer:
    def __init__(self, broker: Dying, producer: Any) -> None:
        self._broker, self._producer = broker, producer

    def send(self, *given: Any, **named: Any) -> None:
        self._broker.left -= 1
        if self._broker.left < 0:
            msg = "the process was killed"
            raise Fatal(msg)
        self._producer.send(*given, **named)

    def __enter__(self) -> _DyingProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self._producer.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)


def begun() -> MemoryBroker:
    """A broker with a run of the past that has begun."""
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(prefix="", partitions=3))
    run = Experiment(
        run_id="run-past",
        status="running",
        seed=0,
        target="collected",
        started_at_us=FROM_US,
        window_us=5 * S,
        first_cut_us=2 * S,
        final_cut_us=30 * S,
        start_offsets=end_offsets(broker, ""),
        end_offsets={},
        writers=telemetry_writer("prometheus", FROM_US, first_cut_us=2 * S, final_cut_us=FINAL_CUT_US),
        versions={},
    )
    write_run(broker, run, process="system", clock=now_us)
    return broker


def collect(broker: Any, store: Remembering | None = None) -> None:
    def opened(_settings: StoreSettings, _clock: object) -> Remembering:
        return store or Remembering()

    collect_past(SETTINGS, broker, PAST, Shutdown(signals=()), open_store=opened)


def dataset(broker: MemoryBroker, folder: Path) -> Manifest:
    retire_writer(
        broker, run_id="run-past", writer="prometheus", process="system", clock=lambda: now_us() + 60 * S
    )
    update_run(
        broker,
        "run-past",
        lambda run: _finished(run, broker),
        process="system",
        clock=now_us,
    )
    manifest = rebuild(broker, run_id="run-past", out_dir=folder)
    assert verify(folder) == []
    return manifest


def _finished(run: Experiment, broker: MemoryBroker) -> Experiment:
    return replace(run, status="finished", finished_at_us=PAST.until_us, end_offsets=end_offsets(broker, ""))


def hashes(manifest: Manifest) -> dict[str, str]:
    return {each.name: each.content_sha256 for each in manifest.files if each.name in TABLES}


def test_a_range_becomes_a_run_of_which_nothing_is_late_and_every_minute_is_noted(tmp_path: Path) -> None:
    broker = begun()
    collect(broker, Remembering(away=2))
    minutes = collected_minutes(broker, "run-past")
    assert [each.start_us for each in minutes] == list(PAST.minutes_us)
    assert {(each.metrics, each.logs, each.spans, each.due, each.held) for each in minutes} == {
        (60, 60, 60, 180, 180)
    }
    (whole,) = stretches(minutes)
    assert (whole.standing, whole.held, whole.end_us) == ("complete", 180 * MINUTES, PAST.until_us)
    manifest = dataset(broker, tmp_path / "dataset")
    assert manifest.unfinished_windows == 0
    rows = {each.name: each.rows for each in manifest.files}
    assert rows["windows.parquet"] == MINUTES * 12
    assert rows["logs.parquet"] == MINUTES * 60
    assert rows["traces.parquet"] == MINUTES * 60 - 7, "those that end beyond the range are none of it"
    assert rows["window_revisions.parquet"] == rows["windows.parquet"], "no window was revised"


@pytest.mark.parametrize("messages", [100, 333, 520, 777])
def test_one_that_was_killed_goes_on_and_its_dataset_is_that_of_one_that_was_not(
    tmp_path: Path, messages: int
) -> None:
    once, twice = begun(), begun()
    collect(once)
    with pytest.raises(Fatal):
        collect(Dying(twice, messages))
    noted = len(collected_minutes(twice, "run-past"))
    assert noted < MINUTES
    collect(twice)
    assert len(collected_minutes(twice, "run-past")) == MINUTES
    assert hashes(dataset(twice, tmp_path / "twice")) == hashes(dataset(once, tmp_path / "once"))


def test_minutes_that_lack_scrapes_are_partial_and_such_without_anything_are_empty() -> None:
    broker = begun()
    collect(broker)
    first, second, third, *_ = collected_minutes(broker, "run-past")
    partial = replace(second, held=second.due - 1)
    empty = replace(third, due=0, held=0, metrics=0, logs=0, spans=0)
    assert [standing_of(each) for each in (first, partial, empty)] == ["complete", "partial", "empty"]
    unanswered = replace(first, left_out=("sum(",))
    assert standing_of(unanswered) == "partial"
    assert [each.standing for each in stretches([empty, partial, first])] == ["complete", "partial", "empty"]


@pytest.mark.parametrize(
    ("source", "begin_s", "end_s", "reason"),
    [
        ("kafka=127.0.0.1:9092", -7200, -3600, "keeps no past"),
        ("prometheus=http://127.0.0.1:9090", -3600, -7200, "give --to after --from"),
        ("prometheus=http://127.0.0.1:9090", -3600, -30, "end it earlier"),
    ],
)
def test_a_range_that_cannot_be_collected_is_refused(
    source: str, begin_s: int, end_s: int, reason: str
) -> None:
    now = FROM_US
    with pytest.raises(InvalidInput, match=reason):
        past_range([source_named(source)], now + begin_s * S, now + end_s * S, now)


def test_a_range_is_widened_to_whole_minutes() -> None:
    past = past_range(
        [source_named("prometheus=http://127.0.0.1:9090")], FROM_US + S, FROM_US + 61 * S, FROM_US * 2
    )
    assert (past.from_us, past.until_us) == (FROM_US, FROM_US + 2 * MINUTE_US)
