"""How many series a service may bring up."""

from __future__ import annotations

from functools import partial

from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, NumberDataPoint, Sum
from otlp_requests import T0_US, attribute, metrics

from microservo.domain.telemetry import metric_columns
from schemas.codec import decode_as
from schemas.records import MetricBatch
from services.telemetry_collector.series_names import SeriesNames
from tests.unit.telemetry_collector.harness import Start


def test_a_metric_keeps_a_hundred_series_apart_and_joins_the_others() -> None:
    names = SeriesNames()
    admitted = [names.admit("cart", f"hits{{user={number}}}") for number in range(5000)]
    assert admitted[99:101] == ["hits{user=99}", "hits{otel.metric.overflow=true}"]
    assert len(set(admitted)) == 101
    assert names.admit("cart", "hits{user=7}") == "hits{user=7}"


def test_a_metric_with_endless_attributes_takes_no_place_of_another() -> None:
    names = SeriesNames()
    for number in range(5000):
        names.admit("cart", f"hits{{user={number}}}")
    assert names.admit("cart", "queue.depth") == "queue.depth"
    assert names.admit("cart", "cpu{state=user}") == "cpu{state=user}"
    assert names.admit("ad", "hits{user=4999}") == "hits{user=4999}"


def test_a_service_has_a_thousand_series_and_a_thousand_metrics_besides() -> None:
    names = SeriesNames()
    admitted = {
        names.admit("cart", f"metric.{metric}{{n={number}}}")
        for metric in range(2000)
        for number in range(20)
    }
    apart = {name for name in admitted if "{n=" in name}
    joined = {name for name in admitted if name.endswith("{otel.metric.overflow=true}")}
    assert (len(apart), len(joined), admitted - apart - joined) == (1000, 950, {"<other>"})


def test_the_names_of_a_services_series_have_bounded_bytes() -> None:
    names = SeriesNames()
    long = [f"metric.{number % 20}{{url={'é' * 200}{number}}}" for number in range(1000)]
    apart = {name for name in map(partial(names.admit, "cart"), long) if "url" in name}
    assert 99_000 < sum(len(name.encode()) for name in apart) <= 100_000
    assert names.admit("cart", "metric.3{a=b}") == "metric.3{a=b}"


def test_points_that_differ_in_attributes_stay_apart_on_the_topic(start: Start) -> None:
    at_ns = T0_US * 1000
    points = [
        NumberDataPoint(time_unix_nano=at_ns, as_double=value, attributes=[attribute("state", state)])
        for state, value in (("user", 3.0), ("system", 1.0))
    ]
    body = metrics([Metric(name="process.cpu.time", sum=Sum(data_points=points))]).SerializeToString()
    with start() as running:
        assert running.send("/v1/metrics", body).status == 200
        (found,) = [
            decode_as(MetricBatch, message.value)
            for message in running.messages("telemetry-metrics")
            if message.value is not None
        ]
    columns = metric_columns(found)
    named = [found.names[index] for index in columns.name.tolist()]
    assert dict(zip(named, columns.value.tolist(), strict=True)) == {
        "process.cpu.time{state=user}": 3.0,
        "process.cpu.time{state=system}": 1.0,
    }
