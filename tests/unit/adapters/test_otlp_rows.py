"""Records to rows, and what becomes of those that can't be used."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue, KeyValueList
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from otlp_requests import T0_US, gauge, line, logs, metrics, resource, span, traces

from microservo.adapters.otlp.checks import Decoded, Instants
from microservo.adapters.otlp.decoding import decode as decode_request
from microservo.adapters.otlp.line_ids import LineIds
from microservo.adapters.otlp.requests import Request
from microservo.domain.rows import (
    CUMULATIVE,
    DELTA,
    LEVEL,
    Coded,
    CodedSeries,
    DistributionRows,
    LogRows,
    PointRows,
    SpanRows,
)

NOW_US = T0_US + 1_000_000
NOW = Instants(now_us=NOW_US)


def decode(request: Request, instants: Instants) -> Decoded:
    return decode_request(request, instants, LineIds(b"a body"))


def texts(column: Coded) -> list[str]:
    return [column.names[code] for code in column.codes.tolist()]


def only_spans(found: Decoded) -> SpanRows:
    (rows,) = found.rows
    assert isinstance(rows, SpanRows)
    return rows


def only_lines(found: Decoded) -> LogRows:
    (rows,) = found.rows
    assert isinstance(rows, LogRows)
    return rows


def points_of(found: Decoded) -> list[tuple[str, float]]:
    return [
        point
        for rows in found.rows
        if isinstance(rows, PointRows)
        for point in zip(series(rows.series), rows.value.tolist(), strict=True)
    ]


def distributions_of(found: Decoded) -> list[DistributionRows]:
    return [rows for rows in found.rows if isinstance(rows, DistributionRows)]


def series(column: CodedSeries) -> list[str]:
    return [column.metrics[code] + column.labels[code] for code in column.codes.tolist()]


def test_a_span_keeps_all_that_a_row_holds() -> None:
    call = span(T0_US + 5, name="GetCart", duration_us=70, peer="redis", failed=True, number=3, kind=3)
    call.parent_span_id = (2).to_bytes(8, "big")
    rows = only_spans(decode(traces([span(), call]), NOW))
    assert (rows.service, rows.instance, rows.count) == ("cart", "cart-0", 2)
    assert rows.start_us.tolist() == [T0_US, T0_US + 5]
    assert rows.duration_us.tolist() == [1500, 70]
    assert texts(rows.endpoint) == ["GetCart", "GetCart"]
    assert texts(rows.peer) == ["", "redis"]
    assert rows.kind.tolist() == [2, 3]
    assert rows.error.tolist() == [0, 1]
    assert rows.trace_id.tobytes() == (1).to_bytes(16, "big") + (3).to_bytes(16, "big")
    assert rows.span_id.tobytes() == (1).to_bytes(8, "big") + (3).to_bytes(8, "big")
    assert rows.parent_id.tobytes() == bytes(8) + (2).to_bytes(8, "big")


@pytest.mark.parametrize("service", [None, ""])
def test_records_without_a_service_belong_to_unknown_service(service: str | None) -> None:
    rows = only_spans(decode(traces([span()], resource(service, None)), NOW))
    assert (rows.service, rows.instance) == ("unknown_service", "")


def _without_time(bad: Span) -> None:
    bad.end_time_unix_nano = 0


def _backwards(bad: Span) -> None:
    bad.end_time_unix_nano = bad.start_time_unix_nano - 1000


def _future(bad: Span) -> None:
    bad.end_time_unix_nano = (NOW_US + 5_000_001) * 1000


def _far_future(bad: Span) -> None:
    bad.end_time_unix_nano = 2**64 - 1


def _short_trace_id(bad: Span) -> None:
    bad.trace_id = b"short"


def _zero_span_id(bad: Span) -> None:
    bad.span_id = bytes(8)


def _long_parent(bad: Span) -> None:
    bad.parent_span_id = bytes(9)


def _odd_kind(bad: Span) -> None:
    bad.kind = 99  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_without_time, "no time"),
        (_backwards, "ends before it starts"),
        (_future, "more than 5 s in the future"),
        (_far_future, "more than 5 s in the future"),
        (_short_trace_id, "trace id is not 16 bytes"),
        (_zero_span_id, "span id is all zeros"),
        (_long_parent, "parent span id is not 8 bytes"),
        (_odd_kind, "span kind is not within 0 to 5"),
    ],
)
def test_a_span_that_cannot_be_used_is_put_aside_and_the_others_flow_on(
    spoil: Callable[[Span], None], reason: str
) -> None:
    bad = span(number=2, name="Bad")
    spoil(bad)
    found = decode(traces([span(number=1), bad, span(number=3)]), NOW)
    assert only_spans(found).span_id.tobytes() == (1).to_bytes(8, "big") + (3).to_bytes(8, "big")
    (refused,) = found.refused
    assert reason in refused.reason
    document = json.loads(refused.document)
    assert (document["service"], document["instance"]) == ("cart", "cart-0")
    assert document["record"]["name"] == bad.name
    assert document["record"]["traceId"] == bad.trace_id.hex()
    assert found.rejected == 1


def test_a_span_that_ends_within_the_tolerance_is_kept() -> None:
    assert only_spans(decode(traces([span(NOW_US, duration_us=5_000_000)]), NOW)).count == 1


def test_a_request_of_bad_spans_only_has_no_rows() -> None:
    found = decode(traces([span(0), span(0)]), NOW)
    assert found.rows == ()
    assert found.reason == "2 x record has no time"


def test_long_names_are_cut_and_stay_apart() -> None:
    spans = [span(number=number, name="x" * (255 + number)) for number in (1, 2, 3)]
    rows = only_spans(decode(traces(spans, resource("s" * 300, "i" * 300)), NOW))
    assert texts(rows.endpoint)[0] == "x" * 256
    assert len(set(texts(rows.endpoint))) == 3
    assert {len(text) for text in (*texts(rows.endpoint), rows.service, rows.instance)} == {256}
    (point,) = points_of(decode(metrics([gauge(name="m" * 300)]), NOW))
    assert (len(point[0]), point[0][:243]) == (256, "m" * 243)


def test_a_log_line_keeps_all_that_a_row_holds() -> None:
    one = line(T0_US, "GetCart served in 3 ms", 9)
    one.trace_id, one.span_id = b"t" * 16, b"s" * 8
    rows = only_lines(decode(logs([one, line(T0_US + 1, "GetCart served in 4 ms", 17)]), NOW))
    assert rows.bodies == ("GetCart served in 3 ms", "GetCart served in 4 ms")
    assert texts(rows.template) == ["GetCart served in <*> ms"] * 2
    assert rows.severity.tolist() == [9, 17]
    assert rows.trace_id.tobytes() == b"t" * 16 + bytes(16)
    assert rows.span_id.tobytes() == b"s" * 8 + bytes(8)


def test_a_log_line_without_a_time_has_the_time_it_was_observed() -> None:
    one = line(0)
    one.observed_time_unix_nano = T0_US * 1000
    assert only_lines(decode(logs([one]), NOW)).time_us.tolist() == [T0_US]


def test_a_log_line_without_any_time_has_the_time_it_was_received() -> None:
    assert only_lines(decode(logs([line(0), line(T0_US)]), NOW)).time_us.tolist() == [
        NOW_US,
        T0_US,
    ]


@pytest.mark.parametrize(
    ("unit", "per_second"), [("seconds", 1), ("milliseconds", 1000), ("microseconds", 1_000_000)]
)
def test_a_time_in_another_unit_is_refused_as_what_it_looks_like(unit: str, per_second: int) -> None:
    at = T0_US // 1_000_000 * per_second
    call, one, point = span(), line(), gauge()
    call.start_time_unix_nano = call.end_time_unix_nano = at
    one.time_unix_nano = at
    point.gauge.data_points[0].time_unix_nano = at
    for request in (traces([call]), logs([one]), metrics([point])):
        (refused,) = decode(request, NOW).refused
        assert refused.reason == f"time looks like {unit} since 1970; OTLP's times are nanoseconds"


def test_what_is_too_old_for_any_window_is_kept_and_told() -> None:
    instants = Instants(now_us=NOW_US, oldest_us=T0_US)
    old, lines = span(T0_US - 2000, duration_us=1999), [line(T0_US - 1), line(T0_US)]
    counts = HistogramDataPoint(time_unix_nano=(T0_US - 1) * 1000, count=4, sum=1.5)
    for request, rows in (
        (traces([old, span()]), 2),
        (logs(lines), 2),
        (metrics([gauge(), Metric(name="h", histogram=Histogram(data_points=[counts]))]), 2),
    ):
        found = decode(request, instants)
        assert (sum(each.count for each in found.rows), found.rejected, found.refused) == (rows, 1, ())
        assert found.reason == "1 x record is too old for any window; it is kept, and counted as dropped"


@pytest.mark.parametrize("bad", [line(NOW_US + 6_000_000), line(severity=25), line(severity=-1)])
def test_a_log_line_that_cannot_be_used_is_put_aside(bad: object) -> None:
    found = decode(logs([line(), bad]), NOW)  # type: ignore[list-item]
    assert (only_lines(found).count, len(found.refused)) == (1, 1)


def test_a_long_body_is_cut_between_characters() -> None:
    rows = only_lines(decode(logs([line(body="x" + "é" * 20_000), line(body="x" * 20_000)]), NOW))
    assert rows.bodies == ("x" + "é" * 8191, "x" * 16_384)


def test_a_body_that_is_no_text_becomes_json() -> None:
    one = line()
    one.body.CopyFrom(
        AnyValue(
            kvlist_value=KeyValueList(
                values=[
                    KeyValue(key="n", value=AnyValue(int_value=3)),
                    KeyValue(key="b", value=AnyValue(bytes_value=b"\x01")),
                    KeyValue(key="nothing", value=AnyValue()),
                ]
            )
        )
    )
    assert only_lines(decode(logs([one]), NOW)).bodies == ('{"n":3,"b":"01","nothing":null}',)


def test_a_sum_is_what_its_temporality_and_monotonicity_say() -> None:
    point = NumberDataPoint(time_unix_nano=T0_US * 1000, start_time_unix_nano=7000, as_int=41)
    sums = [
        Metric(name=name, sum=Sum(is_monotonic=grows, aggregation_temporality=how, data_points=[point]))
        for name, grows, how in (
            ("requests", True, AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE),
            ("unspecified", True, AggregationTemporality.AGGREGATION_TEMPORALITY_UNSPECIFIED),
            ("in.flight", False, AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE),
            ("added", True, AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA),
            ("moved", False, AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA),
        )
    ]
    found = decode(metrics([gauge(value=0.5), *sums]), NOW)
    (rows,) = found.rows
    assert isinstance(rows, PointRows)
    assert points_of(found)[:2] == [("queue.depth", 0.5), ("requests", 41.0)]
    assert rows.temporality.tolist() == [LEVEL, CUMULATIVE, CUMULATIVE, LEVEL, DELTA, DELTA]
    assert rows.start_us.tolist() == [0, 7, 7, 7, 7, 7]


def test_distributions_keep_buckets_and_quantiles() -> None:
    at_ns = T0_US * 1000
    points = [
        HistogramDataPoint(
            time_unix_nano=at_ns, count=4, sum=10.5, bucket_counts=[1, 3], explicit_bounds=[2.0]
        ),
        HistogramDataPoint(time_unix_nano=at_ns, count=2),
    ]
    exponential = ExponentialHistogramDataPoint(time_unix_nano=at_ns, count=3, sum=1.0, scale=2, zero_count=1)
    exponential.positive.offset = -1
    exponential.positive.bucket_counts.extend([0, 2])
    quantile = SummaryDataPoint.ValueAtQuantile(quantile=0.5, value=7.0)
    summary = SummaryDataPoint(time_unix_nano=at_ns, count=1, sum=2.0, quantile_values=[quantile])
    found = decode(
        metrics(
            [
                Metric(name="h", histogram=Histogram(data_points=points)),
                Metric(name="e", exponential_histogram=ExponentialHistogram(data_points=[exponential])),
                Metric(name="s", summary=Summary(data_points=[summary])),
            ]
        ),
        NOW,
    )
    bounded, bare, exponentials, summaries = distributions_of(found)
    assert (bounded.bounds, bounded.buckets.tolist(), bounded.total.tolist()) == ((2.0,), [[1, 3]], [10.5])
    assert (bare.bounds, bare.observations.tolist(), bool(np.isnan(bare.total[0]))) == ((), [2.0], True)
    (buckets,) = exponentials.exponential
    assert (buckets.scale, buckets.zeros, buckets.offset, buckets.counts.tolist()) == (2, 1.0, -1, [0, 2])
    assert (summaries.quantiles, summaries.total.tolist()) == ((((0.5, 7.0),),), [2.0])


def test_histograms_of_several_metrics_become_rows_together_where_they_have_the_same_bounds() -> None:
    def histogram(name: str, count: int, bound: float, temporality: int = 2) -> Metric:
        point = HistogramDataPoint(
            time_unix_nano=T0_US * 1000, count=count, bucket_counts=[0, count], explicit_bounds=[bound]
        )
        data = Histogram(data_points=[point], aggregation_temporality=temporality)  # type: ignore[arg-type]
        return Metric(name=name, histogram=data)

    found = decode(
        metrics(
            [
                histogram("a", 1, 2.0),
                histogram("b", 2, 2.0),
                histogram("other bounds", 3, 5.0),
                histogram("deltas", 4, 2.0, temporality=1),
            ]
        ),
        NOW,
    )
    together, bounds, deltas = distributions_of(found)
    assert (series(together.series), together.buckets.tolist()) == (["a", "b"], [[0, 1], [0, 2]])
    assert (series(bounds.series), bounds.bounds) == (["other bounds"], (5.0,))
    assert (series(deltas.series), deltas.temporality, together.temporality) == (
        ["deltas"],
        DELTA,
        CUMULATIVE,
    )


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ({"bucket_counts": [1, 2, 3], "explicit_bounds": [1.0]}, "buckets and bounds do not fit"),
        ({"bucket_counts": [1, 2, 3], "explicit_bounds": [2.0, 1.0]}, "buckets and bounds do not fit"),
        ({"bucket_counts": [1] * 1002, "explicit_bounds": range(1001)}, "more than 1000 buckets"),
    ],
)
def test_a_histogram_that_contradicts_itself_is_put_aside(point: dict[str, list[float]], reason: str) -> None:
    bad = HistogramDataPoint(time_unix_nano=T0_US * 1000, count=6, **point)  # type: ignore[arg-type]
    found = decode(metrics([Metric(name="h", histogram=Histogram(data_points=[bad]))]), NOW)
    assert found.rows == ()
    (refused,) = found.refused
    assert reason in refused.reason


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (gauge(value=float("nan")), "not a finite number"),
        (gauge(value=float("-inf")), "not a finite number"),
        (gauge(at_us=0), "no time"),
        (gauge(at_us=NOW_US + 5_000_001), "in the future"),
        (gauge(name=""), "no name"),
    ],
)
def test_a_point_that_cannot_be_used_is_put_aside(bad: Metric, reason: str) -> None:
    found = decode(metrics([gauge("good"), bad]), NOW)
    assert points_of(found) == [("good", 3.0)]
    (refused,) = found.refused
    assert reason in refused.reason
    assert json.loads(refused.document)["record"]["gauge"]["dataPoints"]


def test_a_bad_point_of_a_distribution_is_put_aside_once() -> None:
    at_ns = T0_US * 1000
    points = [
        HistogramDataPoint(time_unix_nano=at_ns, count=4, sum=float("inf")),
        HistogramDataPoint(time_unix_nano=at_ns, count=5, sum=1.0),
        HistogramDataPoint(time_unix_nano=0, count=6, sum=1.0),
    ]
    found = decode(metrics([Metric(name="h", histogram=Histogram(data_points=points))]), NOW)
    (rows,) = distributions_of(found)
    assert (rows.observations.tolist(), rows.total.tolist()) == ([5.0], [1.0])
    assert len(found.refused) == 2


def test_a_point_that_says_there_is_no_value_is_no_error() -> None:
    ended = gauge()
    ended.gauge.data_points[0].flags = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
    assert decode(metrics([ended]), NOW) == Decoded()
