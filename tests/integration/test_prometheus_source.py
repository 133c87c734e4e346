"""A real Prometheus with real exporters is read: each sample once, over its crash and the end of a target."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from real_prometheus import Exporter, RealPrometheus, real_prometheus

from microservo.adapters.clock import now_us
from microservo.domain.rows import CUMULATIVE, LEVEL, MetricRows, PointRows
from microservo.errors import InvalidInput
from microservo.sources.prometheus.api import PrometheusApi
from microservo.sources.prometheus.settings import PrometheusSettings, Query
from microservo.sources.prometheus.tail import PrometheusTail, prometheus_source
from microservo.sources.remote_write.settings import RemoteWriteSettings
from microservo.sources.remote_write.source import RemoteWriteSource
from microservo.sources.source import Parcel
from microservo.sources.tailed import MemoryCursors
from microservo.testing import eventually
from microservo.testing.sources import RecordingSink

pytestmark = pytest.mark.integration

S = 1_000_000


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPrometheus]:
    with real_prometheus(tmp_path_factory.mktemp("prometheus")) as running:
        yield running


def settings(prometheus: RealPrometheus, *queries: Query, **values: object) -> PrometheusSettings:
    given = {"url": prometheus.url, "scrape_s": 1, "lag_s": 2.0, "kpis": (), "query": queries, **values}
    return PrometheusSettings.model_validate(given)


def points(rows: list[PointRows], temporality: int) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Instants and values of each series, in the order in which they came."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for each in rows:
        for at in np.flatnonzero(each.temporality == temporality).tolist():
            code = each.series.codes[at]
            key = (each.series.metrics[code], each.series.labels[code])
            found.setdefault(key, []).append((int(each.time_us[at]), float(each.value[at])))
    return found


def newest_us(sink: RecordingSink) -> int:
    rows = (row for parcel in sink.parcels for row in parcel.rows)
    return max((int(row.time_us.max()) for row in rows if isinstance(row, PointRows)), default=0)


def changing(exporter: Exporter, prometheus: RealPrometheus, *, samples: int) -> None:
    """Lets values change until Prometheus has so many samples of them."""
    for number in itertools.count():
        exporter.requests.labels("200").inc()
        exporter.queue.set(number)
        time.sleep(0.2)
        (found,) = prometheus.query("shop_queue[30s]", time.time()) or ({"values": ()},)
        if len(found["values"]) >= samples:  # type: ignore[arg-type]
            return
        assert number < 300


def test_every_sample_is_read_once_with_its_own_instant_though_prometheus_is_killed_in_the_middle(
    prometheus: RealPrometheus,
) -> None:
    exporter = Exporter(prometheus.shop_port)
    queries = Query(match='shop_requests_total{job="shop"}'), Query(match="shop_queue", type="gauge")
    source = prometheus_source(settings(prometheus, *queries), now_us, MemoryCursors())
    sink = RecordingSink()
    begin_us = now_us()
    source.start(sink)
    try:
        changing(exporter, prometheus, samples=5)
        prometheus.kill()
        time.sleep(1.5)
        prometheus.start()
        changing(exporter, prometheus, samples=10)
        until_us = now_us()
        eventually(lambda: newest_us(sink) > until_us, timeout_s=30, what="all that was scraped by then")
    finally:
        source.stop()
        exporter.end()
    rows = [row for parcel in sink.parcels for row in parcel.rows if isinstance(row, PointRows)]
    assert {row.service for row in rows} == {"shop"}
    assert {row.instance for row in rows} == {f"127.0.0.1:{prometheus.shop_port}"}
    span_s = (until_us - begin_us) / S
    for metric, temporality in (
        ("shop_requests_total", CUMULATIVE),
        ("shop_requests_total", LEVEL),
        ("shop_queue", LEVEL),
    ):
        read = [
            each
            for (name, _), found in points(rows, temporality).items()
            if name == metric
            for each in found
            if begin_us < each[0] <= until_us
        ]
        stored = [
            (round(at * S), float(value))
            for series in prometheus.query(f'{metric}{{job="shop"}}[{span_s:.0f}s]', until_us / S)
            for at, value in series["values"]  # type: ignore[attr-defined]
            if begin_us < round(at * S) <= until_us
        ]
        assert len(stored) >= 10
        assert read == sorted(stored), f"{metric}: all of them, each once, in order"


def test_a_target_that_is_killed_has_no_values_from_then_on(prometheus: RealPrometheus) -> None:
    exporter = Exporter(prometheus.shop_port)
    exporter.queue.set(7)
    queries = (
        Query(match="shop_queue", type="gauge", name="sampled"),
        Query(metric="shop_queue", type="gauge", by=("job",), name="summed"),
    )
    eventually(
        lambda: prometheus.query("shop_queue", time.time()), timeout_s=30, what="a sample of the exporter"
    )
    begin_us = now_us()
    time.sleep(3)
    exporter.end()
    ended_us = now_us()
    time.sleep(8)
    tail = PrometheusTail(settings(prometheus, *queries), now_us)
    found: dict[str, list[int]] = {}
    for page in tail.pages(str(begin_us)):
        for row in page.rows:
            assert isinstance(row, MetricRows | PointRows)
            name = row.name.names[0] if isinstance(row, MetricRows) else row.series.metrics[0]
            found.setdefault(name, []).extend(row.time_us.tolist())
    tail.close()
    assert found.keys() == {"sampled", "summed"}
    assert max(found["sampled"]) <= ended_us
    assert max(found["summed"]) <= ended_us + 2 * S, "two scrapes, and not the five minutes of a lookback"


def test_steps_lie_on_a_grid_and_their_values_are_those_of_prometheus_and_no_edge_comes_twice(
    prometheus: RealPrometheus,
) -> None:
    query = Query(expr="timestamp(up{job='node'})*0+time()", name="clock", of="host")
    source = settings(prometheus, query, step_s=2)
    cursor, times = str(now_us()), []
    time.sleep(1)
    for _ in range(4):
        time.sleep(2.5)
        tail = PrometheusTail(source, now_us)
        for page in tail.pages(cursor):
            for row in page.rows:
                assert isinstance(row, MetricRows)
                assert row.service == "host/127.0.0.1"
                assert row.identity.kind == "host"
                times += row.time_us.tolist()
                assert (row.time_us == np.rint(row.value * S)).all()
            cursor = page.place.cursor
        tail.close()
    assert len(times) >= 4
    assert [each % (2 * S) for each in times] == [0] * len(times)
    assert np.diff(times).tolist() == [2 * S] * (len(times) - 1)


def test_a_range_of_more_than_11_000_steps_is_read_whole_and_no_step_comes_twice(
    prometheus: RealPrometheus,
) -> None:
    api = PrometheusApi(settings(prometheus))
    last_s = int(time.time())
    first_s = last_s - 24_000
    parts = list(api.grid("vector(time())", first_s, last_s, 1))
    assert [len(part[0]["values"]) for part in parts] == [11_001, 11_001, 1999]
    assert [at for part in parts for at, _ in part[0]["values"]] == list(range(first_s, last_s + 1))
    api.close()


def test_the_shipped_queries_of_hosts_give_values_and_all_shipped_queries_can_be_evaluated(
    prometheus: RealPrometheus, caplog: pytest.LogCaptureFixture
) -> None:
    kpis = ("containers", "kube-state", "istio", "node")
    tail = PrometheusTail(settings(prometheus, kpis=kpis), now_us)
    expected = {"node_cpu_seconds_total", "node_load1", "node_memory_MemAvailable_bytes"}

    def names() -> set[str]:
        (page,) = tail.pages(str(now_us() - 20 * S))
        return {name for row in page.rows if isinstance(row, PointRows) for name in row.series.metrics}

    # On a busy machine the first scrape may take a while.
    eventually(lambda: expected <= names(), timeout_s=60, interval_s=0.5, what="the first scrapes to be read")
    tail.close()
    assert "left out" not in caplog.text, "Prometheus takes every one"


def test_a_query_that_cannot_be_evaluated_costs_only_itself_and_says_so(
    prometheus: RealPrometheus, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = Query(expr="vector(1)", name="one", of="job"), Query(expr="sum(", name="broken")
    named = Query(expr="label_replace(vector(1), 'job', 'shop', '', '')", name="one")
    tail = PrometheusTail(settings(prometheus, good, bad, named), now_us)
    (page,) = tail.pages("")
    tail.close()
    assert [row.service for row in page.rows] == ["shop"]
    assert "sum( is left out" in caplog.text
    with pytest.raises(InvalidInput, match="can't evaluate it"):
        list(PrometheusApi(settings(prometheus)).grid("sum(", 0, 1, 1))


def test_prometheus_itself_writes_by_remote_write_and_what_it_wrote_is_what_it_stores(tmp_path: Path) -> None:
    sink = DurableSink()
    source = RemoteWriteSource(RemoteWriteSettings(port=0))
    source.start(sink)
    try:
        url = f"http://127.0.0.1:{source.port}/api/v1/write"
        with real_prometheus(tmp_path / "writing", remote_write=url) as writing:
            exporter = Exporter(writing.shop_port)
            exporter.queue.set(7)
            exporter.requests.labels("200").inc(3)
            eventually(
                lambda: len(written(sink, "shop_queue")) >= 3, timeout_s=60, what="three samples of a gauge"
            )
            exporter.end()
            until_s = max(at for at, _ in written(sink, "shop_queue")) / S
            (stored,) = writing.query("shop_queue[60s]", until_s)
    finally:
        source.stop()
    found = written(sink, "shop_queue")
    assert found == [(round(at * S), float(value)) for at, value in stored["values"]]  # type: ignore[attr-defined]
    assert {value for _, value in written(sink, "shop_requests_total", CUMULATIVE)} == {3.0}


class DurableSink(RecordingSink):
    """A sink that is quick."""

    def put(self, parcel: Parcel) -> None:
        super().put(parcel)
        parcel.durable()


def written(sink: RecordingSink, metric: str, temporality: int = LEVEL) -> list[tuple[int, float]]:
    rows = [row for parcel in sink.parcels for row in parcel.rows if isinstance(row, PointRows)]
    return [
        each for (name, _), found in points(rows, temporality).items() if name == metric for each in found
    ]
