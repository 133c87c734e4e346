"""How many series a service may bring up."""

from __future__ import annotations

from services.telemetry_collector.series_names import SeriesNames


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
