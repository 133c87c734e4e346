"""Points of one metric that differ in their attributes."""

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
    SummaryDataPoint,
)
from otlp_requests import T0_US, attribute, gauge, metrics, resource

from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode
from microservo.adapters.otlp.line_ids import LineIds
from microservo.adapters.otlp.series import MAX_ATTRIBUTES_CHARS, Labels
from microservo.domain.rows import DistributionRows, PointRows

AT_NS = T0_US * 1000


def names_of(all_metrics: list[Metric]) -> list[str]:
    """The series of each row."""
    found = decode(metrics(all_metrics, resource()), Instants(now_us=T0_US + 1), LineIds(b"")).rows
    return [
        rows.series.metrics[code] + rows.series.labels[code]
        for rows in found
        if isinstance(rows, PointRows | DistributionRows)
        for code in rows.series.codes.tolist()
    ]


def cpu_time(state: str, seconds: float) -> NumberDataPoint:
    attributes = [attribute("state", state), attribute("cpu", "0")]
    return NumberDataPoint(time_unix_nano=AT_NS, as_double=seconds, attributes=attributes)


def test_points_that_differ_in_attributes_have_names_of_their_own() -> None:
    points = [cpu_time("user", 3.0), cpu_time("system", 1.0)]
    assert names_of(
        [
            Metric(name="process.cpu.time", sum=Sum(data_points=points)),
            Metric(name="cpu.now", gauge=Gauge(data_points=points[:1])),
            gauge("plain"),
        ]
    ) == [
        "process.cpu.time{cpu=0,state=user}",
        "process.cpu.time{cpu=0,state=system}",
        "cpu.now{cpu=0,state=user}",
        "plain",
    ]


def test_distributions_have_their_attributes_too() -> None:
    route = [attribute("http.route", "/cart")]
    histogram = HistogramDataPoint(time_unix_nano=AT_NS, count=1, sum=2.0, attributes=route)
    summary = SummaryDataPoint(time_unix_nano=AT_NS, count=1, sum=2.0, attributes=route)
    assert names_of(
        [
            Metric(name="h", histogram=Histogram(data_points=[histogram])),
            Metric(name="s", summary=Summary(data_points=[summary])),
        ]
    ) == [
        "h{http.route=/cart}",
        "s{http.route=/cart}",
    ]


def test_the_order_of_attributes_does_not_matter() -> None:
    one, two = attribute("a", "1"), attribute("b", "2")
    assert Labels().of([one, two]) == Labels().of([two, one]) == "{a=1,b=2}"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (AnyValue(int_value=404), "404"),
        (AnyValue(bool_value=True), "true"),
        (AnyValue(string_value=""), ""),
        (AnyValue(), ""),
        (AnyValue(string_value="1,b=2"), '"1,b=2"'),
        (AnyValue(string_value='"'), r'"\""'),
        (AnyValue(string_value="/cart/é"), "/cart/é"),
    ],
)
def test_values_are_written_so_that_none_looks_like_another(value: AnyValue, written: str) -> None:
    assert Labels().of([KeyValue(key="a", value=value)]) == f"{{a={written}}}"


def test_long_attributes_are_cut_and_stay_apart() -> None:
    names = [Labels().of([attribute("a", "x" * 1000 + end)]) for end in ("1", "2", "1")]
    assert names[0] == names[2] != names[1]
    assert {len(name) for name in names} == {MAX_ATTRIBUTES_CHARS + len("{}")}
    assert names[0].startswith("{a=xxxx")


def test_attributes_that_fit_just_so_are_not_cut() -> None:
    value = "x" * (MAX_ATTRIBUTES_CHARS - len("a="))
    assert Labels().of([attribute("a", value)]) == f"{{a={value}}}"
