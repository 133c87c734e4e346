"""What Prometheus gives becomes rows: by subject, once at edges, without what is no number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from microservo.domain.rows import CUMULATIVE, LEVEL
from microservo.errors import InvalidInput
from microservo.sources.prometheus.identity import Subject, subject_of
from microservo.sources.prometheus.owners import Owners, workload_of
from microservo.sources.prometheus.queries import Evaluated, Sampled, queries_of
from microservo.sources.prometheus.rows import level_rows, sample_rows
from microservo.sources.prometheus.settings import Of, PrometheusSettings, Query

S = 1_000_000
T = 1_700_000_000
URL = "http://127.0.0.1:9090"


def series(values: list[tuple[float, str]], **labels: str) -> dict[str, object]:
    return {"metric": labels, "values": values}


def of(kind: Of, labels: Mapping[str, str], owners: Owners | None = None) -> Subject:
    found = subject_of(labels, kind, (owners or Owners()).of)
    assert found is not None
    return found


def job(labels: Mapping[str, str]) -> Subject | None:
    return subject_of(labels, "job", Owners().of)


@pytest.mark.parametrize("edge", [True, False], ids=["v2", "v3"])
def test_a_sample_at_the_edge_of_two_readings_comes_once_on_versions_2_and_3(edge: bool) -> None:
    times = []
    for after, until in ((T, T + 10), (T + 10, T + 20)):
        # Version 2 gives the sample at the open end of a range, too; version 3 does not.
        begin = after if edge else after + 5
        given = [series([(at, "1") for at in range(begin, until + 1, 5)], __name__="up", job="shop")]
        for row in sample_rows("", given, job, lambda _: False, raw=True, after_us=after * S):
            times += (row.time_us // S - T).tolist()
    assert times == [5, 10, 15, 20]


def test_a_counter_goes_on_as_such_and_as_a_level_and_a_gauge_as_a_level_alone() -> None:
    given = [
        series([(T + 0.25, "4"), (T + 1.25, "6")], __name__="requests_total", job="shop", code="200"),
        series([(T + 0.25, "7")], __name__="queue", job="shop"),
    ]
    counters, levels = sample_rows(
        "", given, job, lambda name: name == "requests_total", raw=True, after_us=0
    )
    assert counters.temporality.tolist() == [CUMULATIVE] * 2
    assert counters.series.metrics == ("requests_total",)
    assert counters.series.labels == ("{code=200}",)
    assert counters.time_us.tolist() == [T * S + 250_000, T * S + 1_250_000]
    assert levels.temporality.tolist() == [LEVEL] * 3
    assert levels.value.tolist() == [4, 6, 7]
    (only,) = sample_rows("", given[:1], job, lambda _: True, raw=False, after_us=0)
    assert only.temporality.tolist() == [CUMULATIVE] * 2


def test_what_is_no_finite_number_gives_no_value_and_a_native_histogram_none_at_all() -> None:
    given = [
        series([(T, "NaN"), (T + 1, "+Inf"), (T + 2, "0.5"), (T + 3, "-Inf")], job="shop"),
        {"metric": {"job": "shop"}, "histograms": [[T, {"count": "1"}]]},
        series([(T, "NaN")], job="other"),
    ]
    (row,) = level_rows("share", given, job, is_metered=True, after_us=0)
    assert (row.value.tolist(), row.time_us.tolist()) == ([0.5], [(T + 2) * S])
    assert row.is_metered


def test_series_that_differ_in_any_label_stay_apart() -> None:
    labels = {
        "destination_workload": "cart",
        "destination_workload_namespace": "shop",
        "response_code": "200",
    }
    given = [
        series([(T, "1")], **labels, response_flags="-"),
        series([(T, "2")], **labels, response_flags="UF"),
    ]
    (row,) = level_rows(
        "istio_requests_total",
        given,
        lambda found: subject_of(found, "istio-destination", Owners().of),
        is_metered=True,
        after_us=0,
    )
    assert len(set(row.name.names)) == 2
    assert np.unique(row.name.codes).tolist() == [0, 1]


def test_a_pod_is_of_the_workload_that_owns_it_and_keeps_namespace_and_name() -> None:
    owners = Owners()
    owners.learn(
        [
            series([], namespace="a", pod="cart-7d9f-x", owner_kind="ReplicaSet", owner_name="cart-7d9f"),
            series([], namespace="a", pod="redis-cart-0", owner_kind="StatefulSet", owner_name="redis-cart"),
            series([], namespace="b", pod="cart-7d9f-x", owner_kind="ReplicaSet", owner_name="other-7d9f"),
        ],
        [
            series([], namespace="a", replicaset="cart-7d9f", owner_kind="Deployment", owner_name="cart"),
            series([], namespace="b", replicaset="other-7d9f", owner_kind="<none>", owner_name="<none>"),
        ],
    )
    subject = of("pod", {"namespace": "a", "pod": "cart-7d9f-x", "interface": "eth0"}, owners)
    assert (subject.service, subject.instance) == ("cart", "a/cart-7d9f-x")
    assert subject.labels == (("interface", "eth0"),)
    assert (subject.identity.namespace, subject.identity.pod) == ("a", "a/cart-7d9f-x")
    assert of("pod", {"namespace": "a", "pod": "redis-cart-0"}, owners).service == "redis-cart"
    assert of("pod", {"namespace": "b", "pod": "cart-7d9f-x"}, owners).service == "other-7d9f"


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        ("cartservice-7d9f8b6c5d-x2x4z", "cartservice"),
        ("redis-cart-0", "redis-cart"),
        ("node-exporter-x2x4z", "node-exporter"),
        ("a-b-c", "a-b-c"),
        ("web", "web"),
    ],
)
def test_without_kube_state_metrics_the_form_of_a_pods_name_tells_its_workload(
    pod: str, workload: str
) -> None:
    assert workload_of(pod) == workload


def test_istios_series_are_of_the_side_that_is_asked_for_and_name_the_other() -> None:
    labels = {"source_workload": "web", "destination_workload": "cart", "destination_workload_namespace": "s"}
    served, called = of("istio-destination", labels), of("istio-source", labels)
    assert (served.service, served.labels) == ("cart", (("source_workload", "web"),))
    assert called.service == "web"
    assert ("destination_workload", "cart") in called.labels
    assert subject_of({"destination_workload": "unknown"}, "istio-destination", Owners().of) is None


def test_a_job_that_opentelemetry_wrote_is_namespace_and_service() -> None:
    subject = of("job", {"job": "shop/cart", "instance": "627cc493", "service_version": "1.4"})
    assert (subject.service, subject.instance) == ("shop/cart", "627cc493")
    assert (subject.identity.name, subject.identity.namespace, subject.identity.version) == (
        "cart",
        "shop",
        "1.4",
    )


def test_a_counter_that_is_summed_is_asked_for_raw_and_as_a_rate_and_only_while_it_is_scraped() -> None:
    query = Query(metric='cpu_total{image!=""}', type="counter", by=("namespace", "pod"), of="pod")
    rate, raw = queries_of(PrometheusSettings(url=URL, scrape_s=15, kpis=(), query=(query,)))
    assert isinstance(rate, Evaluated)
    assert isinstance(raw, Evaluated)
    assert (rate.name, raw.name) == ("cpu_total.rate", "cpu_total")
    assert rate.expr == 'sum by (namespace, pod) (rate(cpu_total{image!=""}[60s]))'
    assert "time() - timestamp(" in raw.expr
    assert "< 30" in raw.expr


NETWORK = {
    f"container_network_{way}_{what}_total"
    for way in ("receive", "transmit")
    for what in ("bytes", "packets", "errors", "packets_dropped")
}
CONTAINERS = {
    f"container_{name}"
    for name in (
        "cpu_usage_seconds_total",
        "cpu_user_seconds_total",
        "cpu_system_seconds_total",
        "cpu_cfs_throttled_seconds_total",
        "cpu_cfs_throttled_periods_total",
        "cpu_cfs_periods_total",
        "cpu_load_average_10s",
        "memory_cache",
        "memory_usage_bytes",
        "memory_working_set_bytes",
        "memory_rss",
        "memory_mapped_file",
        "spec_cpu_period",
        "spec_cpu_quota",
        "spec_cpu_shares",
        "spec_memory_limit_bytes",
        "threads",
        "threads_max",
    )
}
ISTIO = {
    f"istio_{name}"
    for name in (
        "requests_total",
        "request_duration_milliseconds_sum",
        "request_bytes_sum",
        "response_bytes_sum",
        "request_messages_total",
        "response_messages_total",
        "tcp_sent_bytes_total",
        "tcp_received_bytes_total",
        "tcp_connections_opened_total",
        "tcp_connections_closed_total",
    )
}
FIRST_SYSTEM = NETWORK | CONTAINERS | ISTIO
"""All that the first MicroServo exports or meant to: a missing comma kept two names out there."""


def test_the_shipped_queries_cover_what_the_first_system_read_and_each_group_can_be_left_out() -> None:
    names = {each.name for each in queries_of(PrometheusSettings(url=URL)) if isinstance(each, Evaluated)}
    assert names >= FIRST_SYSTEM, FIRST_SYSTEM - names
    only = queries_of(PrometheusSettings(url=URL, kpis=("node",)))
    assert all(isinstance(each, Sampled) and each.of == "host" for each in only)


def test_a_query_that_is_no_query_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    for wrong, reason in (
        ({}, "one of match, metric and expr"),
        ({"match": "up", "expr": "1"}, "one of match, metric and expr"),
        ({"expr": "1"}, "needs a name"),
        ({"metric": "up"}, "counter or gauge"),
    ):
        with pytest.raises(ValidationError, match=reason):
            Query.model_validate(wrong)
    path = tmp_path / "own.toml"
    path.write_text('[[query]]\nexpr = "1"\n')
    with pytest.raises(InvalidInput, match=r"own\.toml can't be used: .*needs a name"):
        queries_of(PrometheusSettings(url=URL, queries=path))
