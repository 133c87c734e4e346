from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from microservo.domain.faults import kinds
from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.catalogue import (
    KINDS,
    LATEST_START_US,
    LONGEST_US,
    PlannedFault,
    describe,
    parse_request,
)
from microservo.errors import InvalidInput
from schemas.records import FaultRequest

NOW_US = 1_800_000_000_000_000
SERVICES = {"cartservice": ["cartservice-0", "cartservice-1"], "frontend": ["frontend-0"], "gone": []}

# What people write, and what goes over the wire.
EXAMPLES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "noop": ({}, {}),
    "process-kill": ({}, {}),
    "process-pause": ({}, {}),
    "cpu-hog": ({"load": "50%"}, {"workers": 2, "load_ratio": 0.5}),
    "memory-hog": ({"size": "64MiB"}, {"bytes": 64 * 2**20}),
    "network-delay": (
        {"latency": "300ms", "jitter": "50ms"},
        {"latency_us": 300_000, "jitter_us": 50_000, "peer": ""},
    ),
    "network-loss": ({"ratio": "30%", "peer": "frontend"}, {"ratio": 0.3, "peer": "frontend"}),
    "network-bandwidth": ({"rate": "1Mbit/s"}, {"bytes_per_s": 125_000, "peer": ""}),
    "connection-reset": ({}, {"ratio": 0.5}),
    "http-delay": ({"delay": "1.5s"}, {"delay_us": 1_500_000, "ratio": 1.0, "endpoint": ""}),
    "http-abort": (
        {"status": "500", "endpoint": "GetCart"},
        {"status": 500, "ratio": 0.5, "endpoint": "GetCart"},
    ),
    "app-exception": ({"ratio": "0.2"}, {"ratio": 0.2, "endpoint": ""}),
    "telemetry-drop": ({"ratio": "50%", "signals": "logs"}, {"ratio": 0.5, "signals": "logs"}),
    "telemetry-delay": ({"delay": "5s"}, {"delay_us": 5_000_000, "signals": "all"}),
    "telemetry-duplicate": ({"signals": "traces"}, {"ratio": 1.0, "signals": "traces"}),
    "telemetry-reorder": ({}, {"within_us": 2_000_000, "signals": "all"}),
    "telemetry-clock-skew": ({"offset": "-3s"}, {"offset_us": -3_000_000, "signals": "all"}),
    "telemetry-schema-drift": (
        {"metric": "http.server.duration"},
        {"metric": "http.server.duration", "suffix": ".v2"},
    ),
    "network-duplicate": ({"ratio": "50%"}, {"ratio": 0.5}),
    "network-corrupt": ({"ratio": "0.1"}, {"ratio": 0.1}),
    "network-reorder": (
        {"latency": "100ms", "ratio": "25%", "gap": "3"},
        {"latency_us": 100000, "ratio": 0.25, "gap": 3},
    ),
    "network-partition": ({"peer": "redis-cart"}, {"peer": "redis-cart"}),
    "connection-abort": ({}, {"endpoint": ""}),
    "http-replace": ({"status": "500"}, {"status": 500, "endpoint": ""}),
    "http-patch": ({"field": "price", "value": "0"}, {"field": "price", "value": "0", "endpoint": ""}),
    "http-truncate": ({"after": "1kB"}, {"after_bytes": 1000, "ratio": 0.5}),
    "slow-close": ({"delay": "300ms"}, {"delay_us": 300_000}),
    "connection-limit": ({}, {"connections": 1}),
    "port-refuse": ({}, {}),
    "dns-delay": ({"delay": "2s", "name": "redis-cart"}, {"delay_us": 2_000_000, "name": "redis-cart"}),
    "dependency-blackhole": ({"peer": "redis-cart"}, {"peer": "redis-cart"}),
    "retry-storm": ({"retries": "3"}, {"retries": 3, "after_us": 3000, "peer": ""}),
    "load-spike": ({"times": "4"}, {"times": 4}),
    "load-drop": ({}, {"ratio": 0.9}),
    "pod-kill": ({}, {}),
    "pod-failure": ({}, {}),
    "host-down": ({}, {}),
    "region-cut": ({}, {}),
    "disk-slow": (
        {"volume": "/data", "delay": "20ms", "path": "/data/a.db"},
        {"volume": "/data", "delay_us": 20000, "ratio": 1.0, "path": "/data/a.db"},
    ),
    "disk-error": (
        {"volume": "/data", "errno": "28", "ratio": "10%"},
        {"volume": "/data", "errno": 28, "ratio": 0.1, "path": ""},
    ),
    "disk-corrupt": (
        {"volume": "/data"},
        {"volume": "/data", "occurrences": 1, "length": 10, "ratio": 0.5, "path": ""},
    ),
    "file-permissions": (
        {"volume": "/data"},
        {"volume": "/data", "permissions": 0, "ratio": 1.0, "path": ""},
    ),
    "clock-skew": ({"offset": "-10min"}, {"offset_us": -600000000}),
    "dns-failure": ({"name": "redis-cart"}, {"name": "redis-cart"}),
    "dns-wrong-address": ({}, {"name": ""}),
    "jvm-latency": (
        {"class": "shop.Cart", "method": "add", "latency": "300ms"},
        {"class_name": "shop.Cart", "method": "add", "latency_us": 300000},
    ),
    "jvm-exception": (
        {"class": "shop.Cart", "method": "add"},
        {"class_name": "shop.Cart", "method": "add", "exception": "java.lang.RuntimeException"},
    ),
    "jvm-gc": ({}, {}),
    "jvm-cpu-hog": ({"workers": "3"}, {"workers": 3}),
    "jvm-memory-hog": ({}, {}),
    "db-slow-query": (
        {"database": "shop", "table": "carts", "latency": "1s"},
        {"database": "shop", "table": "carts", "latency_us": 1000000, "connector": 8},
    ),
    "bad-deploy": ({"ratio": "0"}, {"latency_us": 50000, "ratio": 0.0}),
    "cache-failure": ({}, {}),
    "cache-penetration": ({"ratio": "80%"}, {"ratio": 0.8}),
    "config-error": ({"setting": "timeout"}, {"setting": "timeout"}),
    "connection-pool-exhaustion": ({}, {"ratio": 1.0}),
    "cpu-limit": ({"cores": "20%"}, {"cores": 0.2}),
    "deadlock": ({}, {}),
    "disk-full": ({"left": "1kB"}, {"volume": "/data", "left_bytes": 1000}),
    "fd-exhaustion": ({"left": "3"}, {"left": 3}),
    "gc-pause": ({"pause": "50ms"}, {"pause_us": 50000, "interval_us": 1000000}),
    "lock-contention": ({"hold": "20ms"}, {"hold_us": 20000}),
    "log-flood": ({}, {"lines": 100}),
    "memory-leak": ({"size": "1MiB"}, {"bytes": 2**20, "most_bytes": 256 * 2**20}),
    "memory-limit": ({"size": "64KiB"}, {"bytes": 65536}),
    "oom-kill": ({"size": "16MiB"}, {"bytes": 16 * 2**20}),
    "thread-leak": ({"most": "50"}, {"most": 50}),
    "wrong-answer": ({"endpoint": "GetCart"}, {"ratio": 0.5, "endpoint": "GetCart"}),
    "cascade": ({"size": "512KiB"}, {"bytes": 2**19, "ratio": 1.0}),
    "kernel-fault": ({}, {"fails": 0, "ratio": 1.0, "times": 1}),
    "block-delay": (
        {"volume": "data", "latency": "200ms"},
        {"volume": "data", "latency_us": 200000, "jitter_us": 0},
    ),
}
BAD = [
    ("cpu-hog", {"workers": "0"}, "workers: 0 is out of range; give 1 to 64"),
    ("cpu-hog", {"load": "150%"}, "load: 1.5 is out of range"),
    ("memory-hog", {"size": "64"}, "size: '64' is not understood"),
    ("memory-hog", {"size": "1TiB"}, "size: '1TiB' is not understood"),
    ("memory-hog", {"size": "100GiB"}, "size: 100GiB is out of range; give 1MiB to 16GiB"),
    ("network-delay", {}, "needs the parameter 'latency'; add for example latency=300ms"),
    ("network-delay", {"latency": "300"}, "latency: '300' is not understood"),
    ("network-delay", {"latency": "-3ms"}, "latency: -3ms is out of range; give 1ms to 60s"),
    ("network-delay", {"latency": "3ms", "speed": "9"}, "no parameter 'speed'; it takes latency, jitter"),
    ("http-truncate", {"after": "2MiB"}, "after: 2MiB is out of range; give 0B to 1MiB"),
    ("slow-close", {}, "needs the parameter 'delay'"),
    ("connection-limit", {"connections": "0"}, "connections: 0 is out of range; give 1 to 10000"),
    ("port-refuse", {"port": "80"}, "port-refuse has no parameter 'port'"),
    ("dns-delay", {"delay": "2"}, "delay: '2' is not understood"),
    ("dependency-blackhole", {"peer": "a b"}, "peer: 'a b' is not understood"),
    ("retry-storm", {"retries": "99"}, "retries: 99 is out of range; give 1 to 50"),
    ("load-spike", {"times": "1"}, "times: 1 is out of range; give 2 to 50"),
    ("load-spike", {"times": "1.5"}, "times: '1.5' is not understood"),
    ("load-drop", {"ratio": "0"}, "ratio: 0.0 is out of range; give 0.001 to 1"),
    ("network-loss", {}, "needs the parameter 'ratio'"),
    ("network-loss", {"ratio": "0"}, "ratio: 0.0 is out of range"),
    ("network-bandwidth", {"rate": "1Mbps"}, "rate: '1Mbps' is not understood"),
    ("connection-reset", {"ratio": "2"}, "ratio: 2.0 is out of range"),
    ("http-delay", {"ratio": "1"}, "needs the parameter 'delay'"),
    ("http-abort", {"status": "200"}, "status: 200 is out of range; give 400 to 599"),
    ("http-abort", {"endpoint": "a b"}, "endpoint: 'a b' is not understood"),
    ("app-exception", {"ratio": "many"}, "ratio: 'many' is not understood"),
    ("telemetry-drop", {"ratio": "0"}, "ratio: 0.0 is out of range; give 0.001 to 1"),
    (
        "telemetry-drop",
        {"signals": "spans"},
        "signals: 'spans' is none of them; give all or traces or metrics or logs",
    ),
    ("telemetry-delay", {"delay": "5min"}, "delay: 5min is out of range; give 1ms to 2min"),
    ("telemetry-duplicate", {"ratio": "3"}, "ratio: 3.0 is out of range"),
    ("telemetry-reorder", {"within": "2"}, "within: '2' is not understood"),
    ("telemetry-clock-skew", {"offset": "-2min"}, "offset: -2min is out of range; give -60s to 3s"),
    ("telemetry-schema-drift", {}, "needs the parameter 'metric'; add for example metric=GetCart"),
    ("bad-deploy", {"ratio": "110%"}, "ratio: 1.1 is out of range; give 0.0 to 1"),
    ("cache-penetration", {"ratio": "0"}, "ratio: 0.0 is out of range"),
    ("config-error", {"setting": "port"}, "'port' is none of them; give database or address or timeout"),
    ("connection-pool-exhaustion", {"ratio": "5"}, "ratio: 5.0 is out of range"),
    ("cpu-limit", {"cores": "0.1%"}, "cores: 0.001 is out of range; give 0.01 to 1"),
    ("disk-full", {"left": "-1B"}, "left: -1B is out of range; give 0"),
    ("fd-exhaustion", {"left": "2000"}, "left: 2000 is out of range; give 0 to 1000"),
    ("gc-pause", {"pause": "3s"}, "pause: 3s is out of range; give 1ms to 2s"),
    ("lock-contention", {"hold": "0ms"}, "out of range; give 1ms to 10s"),
    ("log-flood", {"lines": "1000"}, "lines: 1000 is out of range; give 1 to 500"),
    ("memory-leak", {"size": "1GiB"}, "size: 1GiB is out of range; give 1KiB to 64MiB"),
    ("memory-limit", {"size": "1"}, "size: '1' is not understood"),
    ("oom-kill", {"size": "1kB"}, "size: 1kB is out of range; give 1MiB to 16GiB"),
    ("thread-leak", {"most": "0"}, "most: 0 is out of range; give 1 to 1000"),
    ("wrong-answer", {"ratio": "2"}, "ratio: 2.0 is out of range"),
    ("cascade", {"size": "1GiB"}, "size: 1GiB is out of range; give 1KiB to 16MiB"),
    ("noop", {"ratio": "1"}, "noop has no parameter 'ratio'; it takes none"),
    ("process-kill", {"signal": "9"}, "process-kill has no parameter 'signal'"),
    ("process-pause", {"for": "9s"}, "process-pause has no parameter 'for'"),
]


def request(**changes: Any) -> FaultRequest:
    good = FaultRequest(
        fault_id="f-1",
        action="inject",
        requested_at_us=NOW_US,
        kind="network-delay",
        service="cartservice",
        parameters={"latency": "300ms"},
        duration_us=20_000_000,
    )
    return replace(good, **changes)


def parse(**changes: Any) -> PlannedFault:
    return parse_request(request(**changes), SERVICES, now_us=NOW_US)


def example(kind: str) -> Fault:
    return KINDS[kind].from_text(EXAMPLES[kind][0])


def test_every_kind_has_an_example_and_its_own_name() -> None:
    assert set(EXAMPLES) == set(KINDS)
    assert all(kind.kind == name for name, kind in KINDS.items())


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_become_canonical(kind: str) -> None:
    text, canonical = EXAMPLES[kind]
    planned = parse(kind=kind, parameters=text)
    assert planned.fault.wire() == (kind, canonical)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_rebuilt_from_its_record(kind: str) -> None:
    fault = example(kind)
    assert KINDS[kind].from_canonical(fault.canonical()) == fault


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_rebuilt_from_a_record_that_is_older_than_a_parameter_with_a_default(kind: str) -> None:
    fault = example(kind)
    optional = {each.field for each in fault.parameters if each.default is not None}
    record = {name: value for name, value in fault.canonical().items() if name not in optional}
    again = KINDS[kind].from_canonical(record)
    assert again == KINDS[kind].from_text(
        {each.name: EXAMPLES[kind][0][each.name] for each in fault.parameters if each.default is None}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_fields_and_parameters_are_the_same(kind: str) -> None:
    assert [p.field for p in KINDS[kind].parameters] == [entry.name for entry in fields(KINDS[kind])]


@pytest.mark.parametrize("kind", KINDS)
def test_severity_is_a_share(kind: str) -> None:
    assert 0 <= example(kind).severity <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_contract_measures_every_service_that_a_call_connects_with_the_root_cause(kind: str) -> None:
    contract = example(kind).contract()
    if KINDS[kind].on_telemetry:
        assert contract == Contract(root=contract.root)
        return
    assert contract.is_empty == (kind in ("noop", "wrong-answer"))
    if not contract.is_empty:
        assert all((contract.root, contract.callers, contract.users, contract.callees))


def test_what_is_said_of_a_service_shows_at_that_service_where_it_shows_by_the_times_of_events() -> None:
    def root(kind: str, **given: str) -> list[tuple[str, str, str, float]]:
        contract = KINDS[kind].from_text(given).contract()
        return [(each.of, each.statistic, each.metric, each.least) for each in contract.root]

    fewer = ("requests", "count", "")
    assert root("telemetry-drop", ratio="60%") == [(*fewer, 0.3)]
    assert root("telemetry-drop", signals="metrics") == []
    assert root("telemetry-clock-skew") == [(*fewer, 0.2)]
    assert root("telemetry-schema-drift", metric="cpu") == [("metric", "count", "cpu", 0.5)]
    for kind in ("telemetry-delay", "telemetry-duplicate", "telemetry-reorder"):
        assert root(kind) == []


@pytest.mark.parametrize(("kind", "parameters", "message"), BAD)
def test_bad_parameters_are_refused(kind: str, parameters: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(kind=kind, parameters=parameters)
    assert message in str(refused.value)


def test_canonical_parameters_of_another_kind_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no canonical parameters of network-delay"):
        KINDS["network-delay"].from_canonical({"ratio": "1"})


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"did you mean 'network-delay'\? choose one of app-exception"):
        parse(kind="network-deley")


def test_an_unknown_service_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"no service 'cart'.*cartservice, frontend"):
        parse(service="cart")


def test_an_unknown_instance_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="no instance of cartservice 'frontend-0'"):
        parse(instances=("frontend-0",))


def test_a_service_without_instances_is_refused() -> None:
    with pytest.raises(InvalidInput, match="has no instances"):
        parse(service="gone")


def test_no_service_is_refused() -> None:
    with pytest.raises(InvalidInput, match="name a service"):
        parse(service="")


def test_a_kind_that_the_target_can_not_carry_is_refused() -> None:
    with pytest.raises(
        InvalidInput, match="the mechanism sidecar or chaos-mesh, which the target lacks; it can"
    ):
        parse_request(request(), SERVICES, ["noop", "cpu-hog"], now_us=NOW_US)


@pytest.mark.parametrize("duration_us", [0, -1, LONGEST_US + 1])
def test_bad_durations_are_refused(duration_us: int) -> None:
    with pytest.raises(InvalidInput, match="duration"):
        parse(duration_us=duration_us)


@pytest.mark.parametrize("duration_us", [0, 1, LONGEST_US + 1])
def test_a_kill_takes_any_duration(duration_us: int) -> None:
    assert parse(kind="process-kill", parameters={}, duration_us=duration_us).duration_us == duration_us


def test_a_kill_takes_no_negative_duration() -> None:
    with pytest.raises(InvalidInput, match="duration"):
        parse(kind="process-kill", parameters={}, duration_us=-1)


@pytest.mark.parametrize("fault_id", ["", "a b", "x" * 65, "é", "a\n"])
def test_bad_ids_are_refused(fault_id: str) -> None:
    with pytest.raises(InvalidInput, match="fault id"):
        parse(fault_id=fault_id)


def test_a_start_long_ago_is_refused_and_a_little_ago_is_not() -> None:
    assert parse(start_at_us=NOW_US - LATEST_START_US).start_at_us == NOW_US - LATEST_START_US
    with pytest.raises(InvalidInput, match="in the past"):
        parse(start_at_us=NOW_US - LATEST_START_US - 1)


def test_a_request_that_was_stuck_is_refused() -> None:
    with pytest.raises(InvalidInput, match="in the past"):
        parse(requested_at_us=NOW_US - LATEST_START_US - 1)


def test_no_instance_means_all_of_them() -> None:
    assert parse().instances == ("cartservice-0", "cartservice-1")
    assert parse(instances=("cartservice-1", "cartservice-1")).instances == ("cartservice-1",)


def test_without_known_services_the_target_is_left_to_others() -> None:
    assert parse_request(request(service="any"), None).service == "any"


def test_the_description_names_everything_that_people_need() -> None:
    described = {kind.name: kind for kind in describe(["noop"])}
    assert list(described) == list(KINDS)
    assert described["noop"].available
    assert described["network-delay"].available is False
    assert describe()[0].available is None
    latency, jitter, _ = described["network-delay"].parameters
    assert (latency.default, latency.allowed, latency.unit) == (None, "1ms to 60s", "duration")
    assert jitter.default == "0ms"
    assert all(kind.summary for kind in described.values())


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_within_the_range(kind: str) -> None:
    for parameter in KINDS[kind].parameters:
        if parameter.default is not None:
            parameter.read(parameter.default)


def test_the_names_of_shipped_kinds_are_known_without_loading_them() -> None:
    own = [name for name, kind in KINDS.items() if kind.__module__.startswith(kinds.__name__)]
    assert list(kinds.shipped_names()) == own
