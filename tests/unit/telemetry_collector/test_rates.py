"""What counters and distributions say of an interval, against values computed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ScopeMetrics,
    Sum,
    Summary,
    SummaryDataPoint,
)
from otlp_requests import T0_US, attribute, gauge, metrics, resource

from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode
from microservo.adapters.otlp.line_ids import LineIds
from microservo.domain.rows import DistributionRows, PointRows
from services.telemetry_collector.rates import Rates

CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
BEFORE_S = -3600
Found = list[tuple[str, float, float]]


def ns(at_s: float) -> int:
    return round((T0_US / 1e6 + at_s) * 1e9)


def total(
    value: float,
    at_s: float,
    *,
    start_s: float = BEFORE_S,
    how: AggregationTemporality.ValueType = CUMULATIVE,
    grows: bool = True,
    name: str = "hits",
    **labels: str,
) -> Metric:
    point = NumberDataPoint(time_unix_nano=ns(at_s), start_time_unix_nano=ns(start_s), as_double=value)
    point.attributes.extend([attribute(key, text) for key, text in labels.items()])
    return Metric(name=name, sum=Sum(data_points=[point], aggregation_temporality=how, is_monotonic=grows))


def histogram(
    buckets: Sequence[int],
    at_s: float,
    *,
    total: float,
    start_s: float = BEFORE_S,
    how: AggregationTemporality.ValueType = CUMULATIVE,
    bounds: Sequence[float] = (10, 20, 40),
) -> Metric:
    point = HistogramDataPoint(
        time_unix_nano=ns(at_s),
        start_time_unix_nano=ns(start_s),
        count=sum(buckets),
        sum=total,
        bucket_counts=buckets,
        explicit_bounds=bounds,
    )
    return Metric(name="took", histogram=Histogram(data_points=[point], aggregation_temporality=how))


class World:
    """Sends metrics to `Rates`, and gives what goes on: name, value, seconds of the interval."""

    def __init__(self, series: int = 1000) -> None:
        self.rates = Rates(T0_US, series)

    def send(self, *sent: Metric, instance: str = "cart-0", scopes: Sequence[str] = ("",)) -> Found:
        request = metrics(sent, resource("cart", instance))
        (group,) = request.resource_metrics
        del group.scope_metrics[:]
        for scope in scopes:
            group.scope_metrics.append(ScopeMetrics(scope=InstrumentationScope(name=scope), metrics=sent))
        found: Found = []
        for rows in decode(request, Instants(now_us=T0_US + 3_600_000_000), LineIds(b"")).rows:
            assert isinstance(rows, PointRows | DistributionRows)
            for each in self.rates.of(rows):
                interval = [0] * each.count if each.interval_us is None else each.interval_us.tolist()
                names = [each.name.names[code] for code in each.name.codes.tolist()]
                values = zip(names, each.value.tolist(), interval, strict=True)
                found += [(name, value, took / 1e6) for name, value, took in values]
        return found


def test_a_counter_that_grows_becomes_what_was_added_a_second() -> None:
    world = World()
    assert world.send(total(1000, 1)) == []
    assert world.send(total(1030, 11)) == [("hits.rate", 3.0, 10.0)]
    assert world.send(total(1030, 13)) == [("hits.rate", 0.0, 2.0)]


def test_a_process_that_starts_anew_counts_from_its_start() -> None:
    world = World()
    world.send(total(1000, 0))
    assert world.send(total(40, 10, start_s=6)) == [("hits.rate", 10.0, 4.0)]
    assert world.send(total(50, 20, start_s=6)) == [("hits.rate", 1.0, 10.0)]


def test_a_counter_that_falls_was_reset_though_its_start_does_not_say_so() -> None:
    world = World()
    world.send(total(1000, 0))
    assert world.send(total(40, 10)) == [("hits.rate", 4.0, 10.0)]


def test_a_counter_that_started_while_it_was_watched_is_known_from_its_first_point() -> None:
    assert World().send(total(12, 7, start_s=3)) == [("hits.rate", 3.0, 4.0)]


def test_the_first_point_after_a_restart_of_the_collector_says_nothing() -> None:
    world = World()
    world.send(total(1000, 1))
    after = World()
    assert after.send(total(1010, 2)) == []
    assert after.send(total(1020, 3)) == [("hits.rate", 10.0, 1.0)]


def test_a_series_that_appears_at_a_later_export_was_zero_at_the_one_before() -> None:
    """The first failure of a service that was watched counts, though the process is old."""
    world = World()
    world.send(total(1000, 1, status="200"))
    found = world.send(total(1010, 2, status="200"), total(3, 2, status="500"))
    assert found == [("hits.rate{status=200}", 10.0, 1.0), ("hits.rate{status=500}", 3.0, 1.0)]


def test_points_that_are_repeated_or_come_out_of_order_say_nothing() -> None:
    world = World()
    world.send(total(10, 1))
    world.send(total(30, 3))
    assert world.send(total(30, 3)) == []
    assert world.send(total(20, 2)) == []
    assert world.send(total(40, 4)) == [("hits.rate", 10.0, 1.0)]


def test_points_of_one_body_follow_each_other() -> None:
    points = [total(value, at_s) for value, at_s in ((30, 3), (10, 1), (60, 4))]
    assert World().send(*points) == [("hits.rate", 10.0, 2.0), ("hits.rate", 30.0, 1.0)]


def test_a_body_of_endless_points_of_one_series_loses_nothing_that_was_added() -> None:
    """The newest hundred are taken in turn; the oldest of them follows what was known before."""
    world = World()
    world.send(total(0, 0))
    found = world.send(*[total(10 * at_s, at_s) for at_s in range(1, 301)])
    assert len(found) == 100
    assert found[0] == ("hits.rate", 10.0, 201.0)
    assert sum(value * took for _, value, took in found) == 3000


def test_deltas_are_rates_over_their_own_intervals() -> None:
    world = World()
    assert world.send(total(30, 10, start_s=0, how=DELTA)) == [("hits.rate", 3.0, 10.0)]
    assert world.send(total(8, 12, start_s=10, how=DELTA)) == [("hits.rate", 4.0, 2.0)]
    assert world.send(total(-6, 12, start_s=10, how=DELTA, grows=False, name="moved")) == [
        ("moved.rate", -3.0, 2.0)
    ]
    # A delta without a start is about the time since the one before.
    assert world.send(total(9, 15, start_s=-(T0_US / 1e6), how=DELTA)) == [("hits.rate", 3.0, 3.0)]


def test_gauges_and_sums_that_may_fall_stay_as_they_are() -> None:
    world = World()
    assert world.send(gauge("depth", 3.5)) == [("depth", 3.5, 0.0)]
    assert world.send(total(7, 1, grows=False)) == [("hits", 7.0, 0.0)]


def test_instances_have_counters_of_their_own() -> None:
    world = World()
    world.send(total(1000, 1), instance="cart-0")
    world.send(total(5, 1), instance="cart-1")
    assert world.send(total(1001, 2), instance="cart-0") == [("hits.rate", 1.0, 1.0)]
    assert world.send(total(7, 2), instance="cart-1") == [("hits.rate", 2.0, 1.0)]


def test_two_scopes_with_the_same_series_stay_apart() -> None:
    world = World()
    level = Metric(name="depth", gauge=Gauge(data_points=[NumberDataPoint(time_unix_nano=ns(1), as_int=1)]))
    found = world.send(level, scopes=("tomcat", "jetty,11"))
    assert [name for name, _, _ in found] == ["depth", 'depth{otel.scope.name="jetty,11"}']
    world.send(total(5, 1, a="b"), scopes=("tomcat",))
    world.send(total(100, 1, a="b"), scopes=("jetty",))
    found = world.send(total(6, 2, a="b"), scopes=("tomcat",))
    found += world.send(total(104, 2, a="b"), scopes=("jetty",))
    assert found == [("hits.rate{a=b}", 1.0, 1.0), ("hits.rate{a=b,otel.scope.name=jetty}", 4.0, 1.0)]


def test_a_histogram_says_how_many_came_their_mean_and_quantiles_of_the_interval() -> None:
    world = World()
    assert world.send(histogram([100, 100, 100, 100], 1, total=9000)) == []
    # 10 within (0, 10], 30 within (10, 20], 10 within (20, 40], none beyond.
    found = dict(
        (name, value) for name, value, _ in world.send(histogram([110, 130, 110, 100], 6, total=9800))
    )
    assert found == {
        "took.rate": 10.0,
        "took.mean": 16.0,
        "took.p50": 15.0,  # the 25th of 50: 15 of 30 through (10, 20]
        "took.p90": 30.0,  # the 45th: 5 of 10 through (20, 40]
        "took.p99": pytest.approx(39.0),  # the 49.5th: 9.5 of 10
    }
    # Nothing came: a rate, and nothing to take a mean of.
    assert world.send(histogram([110, 130, 110, 100], 7, total=9800)) == [("took.rate", 0.0, 1.0)]


def test_of_what_lies_beyond_the_last_bound_only_that_bound_is_known() -> None:
    found = World().send(histogram([0, 0, 0, 4], 2, total=400, start_s=1, how=DELTA))
    assert found == [
        ("took.rate", 4.0, 1.0),
        ("took.mean", 100.0, 0.0),
        ("took.p50", 40.0, 0.0),
        ("took.p90", 40.0, 0.0),
        ("took.p99", 40.0, 0.0),
    ]


def test_a_histogram_starts_anew_with_its_process() -> None:
    world = World()
    world.send(histogram([50, 0, 0, 0], 1, total=100))
    found = world.send(histogram([0, 8, 0, 0], 5, total=120, start_s=3))
    assert found[:3] == [("took.rate", 4.0, 2.0), ("took.mean", 15.0, 0.0), ("took.p50", 15.0, 0.0)]


def test_a_histogram_with_a_bucket_that_falls_starts_anew_though_more_came_in_all() -> None:
    # As https://github.com/open-telemetry/opentelemetry-collector-contrib/pull/49355 has it.
    world = World()
    world.send(histogram([50, 0, 0, 0], 1, total=100))
    found = world.send(histogram([0, 60, 0, 0], 5, total=900))
    assert found[:3] == [("took.rate", 15.0, 4.0), ("took.mean", 15.0, 0.0), ("took.p50", 15.0, 0.0)]
    found = world.send(histogram([0, 64, 0, 0], 6, total=960))
    assert found[0] == ("took.rate", 4.0, 1.0), "and goes on from there"


def test_a_histogram_whose_bounds_change_says_nothing_of_quantiles_once() -> None:
    world = World()
    world.send(histogram([5, 0, 0, 0], 1, total=10))
    found = world.send(histogram([5, 4], 2, total=50, bounds=[10]))
    assert [name for name, _, _ in found] == ["took.rate", "took.mean"]
    found = world.send(histogram([6, 4], 3, total=55, bounds=[10]))
    assert ("took.p50", 5.0, 0.0) in found


def exponential(
    counts: Sequence[int], at_s: float, *, scale: int, offset: int, zeros: int = 0, total: float = 0.0
) -> Metric:
    point = ExponentialHistogramDataPoint(
        time_unix_nano=ns(at_s),
        start_time_unix_nano=ns(BEFORE_S),
        count=sum(counts) + zeros,
        sum=total,
        scale=scale,
        zero_count=zeros,
    )
    point.positive.offset = offset
    point.positive.bucket_counts.extend(counts)
    histogram = ExponentialHistogram(data_points=[point], aggregation_temporality=CUMULATIVE)
    return Metric(name="took", exponential_histogram=histogram)


def test_an_exponential_histogram_is_taken_by_its_scale() -> None:
    world = World()
    world.send(exponential([4], 1, scale=0, offset=1, total=10))
    # Scale 0: bucket 1 holds (2, 4], bucket 2 (4, 8]: 2 came into the first, 2 into the second.
    found = {
        name: value for name, value, _ in world.send(exponential([6, 2], 2, scale=0, offset=1, total=26))
    }
    assert found["took.rate"] == 4.0
    assert found["took.mean"] == 4.0
    assert found["took.p50"] == pytest.approx(4.0)
    assert found["took.p90"] == pytest.approx(4 * 2**0.8)


def test_an_exponential_histogram_with_a_bucket_that_falls_starts_anew_at_any_scale() -> None:
    world = World()
    world.send(exponential([3, 1], 1, scale=1, offset=2, total=11))
    found = world.send(exponential([8], 2, scale=0, offset=3, total=96))
    assert found[:2] == [("took.rate", 8.0, 1.0), ("took.mean", 12.0, 0.0)]
    found = world.send(exponential([8, 2], 3, scale=0, offset=3, total=130))
    assert found[:2] == [("took.rate", 2.0, 1.0), ("took.mean", 17.0, 0.0)]


def test_exponential_histograms_of_two_scales_are_compared_at_the_lower_one() -> None:
    world = World()
    # Scale 1 has buckets (2, 2.83], (2.83, 4]: numbers 2 and 3; at scale 0 both are number 1.
    world.send(exponential([3, 1], 1, scale=1, offset=2))
    found = {name: value for name, value, _ in world.send(exponential([6], 2, scale=0, offset=1))}
    assert found["took.p50"] == pytest.approx(2 * 2**0.5)


def test_a_summary_keeps_the_quantiles_that_it_states() -> None:
    def summary(count: int, total: float, p99: float, at_s: float) -> Metric:
        quantiles = [SummaryDataPoint.ValueAtQuantile(quantile=0.99, value=p99)]
        point = SummaryDataPoint(
            time_unix_nano=ns(at_s),
            start_time_unix_nano=ns(BEFORE_S),
            count=count,
            sum=total,
            quantile_values=quantiles,
        )
        return Metric(name="gc", summary=Summary(data_points=[point]))

    world = World()
    assert world.send(summary(5, 10, math.nan, 1)) == []
    assert world.send(summary(7, 16, 4.5, 2)) == [
        ("gc.rate", 2.0, 1.0),
        ("gc.mean", 3.0, 0.0),
        ("gc.p99", 4.5, 0.0),
    ]


def test_series_beyond_the_bound_say_nothing_and_take_nothing_from_others() -> None:
    world = World(series=1)
    for value, at_s in ((1, 1), (2, 2), (3, 3)):
        found = world.send(total(value, at_s), total(100 * value, at_s, user="x"))
    assert found == [("hits.rate", 1.0, 1.0)]
