"""What each kind asks of Chaos Mesh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput
from microservo.platforms.kubernetes.chaos.experiment import manifest, name_of
from microservo.platforms.kubernetes.chaos.manifests import BUILDERS, OBJECTS, experiment_of, fault_of
from microservo.platforms.kubernetes.pods import Owner, Pod

POD = Pod(
    namespace="shop",
    name="cart-7d9f-x2",
    uid="pod-1",
    service="",
    owner=Owner(kind="ReplicaSet", name="cart-7d9f", uid="rs-1", api_version="apps/v1"),
    node="node-1",
    containers=("app", "proxy"),
    port=8080,
    phase="Running",
    is_up=True,
    is_ready=True,
    restarts=0,
    started_at_us=1_000_000,
    ended_at_us=0,
    ready_at_us=1_000_000,
)
APP = {"containerNames": ["app"]}
NONE = "0"
GOLDEN: dict[str, tuple[dict[str, str], str, dict[str, Any]]] = {
    "network-delay": (
        {"latency": "300ms", "jitter": "50ms"},
        "NetworkChaos",
        {
            "action": "delay",
            "direction": "to",
            "delay": {"latency": "300000us", "jitter": "50000us", "correlation": NONE},
        },
    ),
    "network-loss": (
        {"ratio": "30.5%"},
        "NetworkChaos",
        {"action": "loss", "direction": "to", "loss": {"loss": "30.5", "correlation": NONE}},
    ),
    "network-duplicate": (
        {"ratio": "50%"},
        "NetworkChaos",
        {"action": "duplicate", "direction": "to", "duplicate": {"duplicate": "50", "correlation": NONE}},
    ),
    "network-corrupt": (
        {"ratio": "0.1"},
        "NetworkChaos",
        {"action": "corrupt", "direction": "to", "corrupt": {"corrupt": "10", "correlation": NONE}},
    ),
    "network-reorder": (
        {"latency": "100ms", "ratio": "25%", "gap": "3"},
        "NetworkChaos",
        {
            "action": "delay",
            "direction": "to",
            "delay": {
                "latency": "100000us",
                "jitter": "0us",
                "correlation": NONE,
                "reorder": {"reorder": "25", "correlation": NONE, "gap": 3},
            },
        },
    ),
    "network-bandwidth": (
        {"rate": "80Mbit/s"},
        "NetworkChaos",
        {
            "action": "bandwidth",
            "direction": "to",
            "bandwidth": {"rate": "10000000bps", "limit": 20_971_520, "buffer": 100_000},
        },
    ),
    "network-partition": (
        {"peer": "redis-cart"},
        "NetworkChaos",
        {"action": "partition", "direction": "both"},
    ),
    "http-delay": (
        {"delay": "400ms", "endpoint": "cart"},
        "HTTPChaos",
        {"target": "Request", "port": 8080, "path": "/cart", "delay": "400000us"},
    ),
    "connection-abort": ({}, "HTTPChaos", {"target": "Request", "port": 8080, "path": "*", "abort": True}),
    "http-replace": (
        {"status": "500"},
        "HTTPChaos",
        {"target": "Response", "port": 8080, "path": "*", "replace": {"code": 500}},
    ),
    "http-patch": (
        {"field": "price", "value": "0"},
        "HTTPChaos",
        {
            "target": "Response",
            "port": 8080,
            "path": "*",
            "patch": {"body": {"type": "JSON", "value": '{"price": "0"}'}},
        },
    ),
    "cpu-hog": (
        {"workers": "2", "load": "50%"},
        "StressChaos",
        {**APP, "stressors": {"cpu": {"workers": 2, "load": 50}}},
    ),
    "memory-hog": (
        {"size": "64MiB"},
        "StressChaos",
        {**APP, "stressors": {"memory": {"workers": 1, "size": "67108864B"}}},
    ),
    "pod-kill": ({}, "PodChaos", {"action": "pod-kill", "gracePeriod": 0}),
    "pod-failure": ({}, "PodChaos", {"action": "pod-failure"}),
    "process-kill": ({}, "PodChaos", {"action": "container-kill", **APP}),
    "disk-slow": (
        {"volume": "/data", "delay": "20ms", "path": "/data/a.db"},
        "IOChaos",
        {
            **APP,
            "action": "latency",
            "volumePath": "/data",
            "path": "/data/a.db",
            "percent": 100,
            "delay": "20000us",
        },
    ),
    "disk-error": (
        {"volume": "/data", "errno": "28", "ratio": "10%"},
        "IOChaos",
        {**APP, "action": "fault", "volumePath": "/data", "percent": 10, "errno": 28},
    ),
    "disk-corrupt": (
        {"volume": "/data"},
        "IOChaos",
        {
            **APP,
            "action": "mistake",
            "volumePath": "/data",
            "percent": 50,
            "mistake": {"filling": "random", "maxOccurrences": 1, "maxLength": 10},
            "methods": ["read", "write"],
        },
    ),
    "file-permissions": (
        {"volume": "/data"},
        "IOChaos",
        {**APP, "action": "attrOverride", "volumePath": "/data", "percent": 100, "attr": {"perm": 0}},
    ),
    "clock-skew": ({"offset": "-10min"}, "TimeChaos", {**APP, "timeOffset": "-600000000us"}),
    "dns-failure": ({"name": "redis-cart"}, "DNSChaos", {"action": "error", "patterns": ["redis-cart"]}),
    "dns-wrong-address": ({}, "DNSChaos", {"action": "random"}),
    "jvm-latency": (
        {"class": "shop.Cart", "method": "add", "latency": "300ms"},
        "JVMChaos",
        {**APP, "action": "latency", "class": "shop.Cart", "method": "add", "latency": 300},
    ),
    "jvm-exception": (
        {"class": "shop.Cart", "method": "add"},
        "JVMChaos",
        {
            **APP,
            "action": "exception",
            "class": "shop.Cart",
            "method": "add",
            "exception": 'java.lang.RuntimeException("microservo")',
        },
    ),
    "jvm-gc": ({}, "JVMChaos", {**APP, "action": "gc"}),
    "jvm-cpu-hog": ({"workers": "3"}, "JVMChaos", {**APP, "action": "stress", "cpuCount": 3}),
    "jvm-memory-hog": ({}, "JVMChaos", {**APP, "action": "stress", "memType": "heap"}),
    "db-slow-query": (
        {"database": "shop", "table": "carts", "latency": "1s"},
        "JVMChaos",
        {
            **APP,
            "action": "mysql",
            "mysqlConnectorVersion": "8",
            "database": "shop",
            "table": "carts",
            "latency": 1000,
        },
    ),
    "kernel-fault": (
        {},
        "KernelChaos",
        {**APP, "failKernRequest": {"failtype": 0, "probability": 100, "times": 1}},
    ),
    "block-delay": (
        {"volume": "data", "latency": "200ms"},
        "BlockChaos",
        {
            **APP,
            "action": "delay",
            "volumeName": "data",
            "delay": {"latency": "200000us", "jitter": "0us", "correlation": NONE},
        },
    ),
}


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_a_kind_asks_chaos_mesh_for_what_it_says(kind: str) -> None:
    given, object_kind, spec = GOLDEN[kind]
    experiment = experiment_of(KINDS[kind].from_text(given), POD)
    assert (experiment.kind, dict(experiment.spec)) == (object_kind, spec)
    assert OBJECTS[kind] == object_kind


def test_each_kind_that_names_chaos_mesh_is_built_and_no_other() -> None:
    named = {name for name, kind in KINDS.items() if "chaos-mesh" in kind.mechanisms}
    assert named == set(BUILDERS) == set(GOLDEN)


def test_an_object_selects_the_one_pod_by_name_and_ends_by_itself_after_the_longest_fault() -> None:
    found = manifest(experiment_of(KINDS["pod-failure"].from_text({}), POD), fault_id="f_1", pod=POD)
    assert found["metadata"]["namespace"] == "shop"
    assert found["metadata"]["name"] == name_of("f_1", "shop/cart-7d9f-x2")
    assert found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "microservo"
    assert found["metadata"]["annotations"]["microservo.io/fault"] == "f_1"
    assert found["spec"] == {
        "action": "pod-failure",
        "mode": "all",
        "selector": {"pods": {"shop": ["cart-7d9f-x2"]}},
        "duration": "4200s",
    }


def test_a_partition_names_all_pods_of_the_other_side_in_their_namespaces() -> None:
    experiment = experiment_of(KINDS["network-partition"].from_text({"peer": "redis-cart"}), POD)
    peers = [replace(POD, name="redis-cart-0"), replace(POD, namespace="data", name="redis-cart-0")]
    found = manifest(experiment, fault_id="f1", pod=POD, peers=peers)
    pods = {"shop": ["redis-cart-0"], "data": ["redis-cart-0"]}
    assert experiment.peer == "redis-cart"
    assert found["spec"]["target"] == {"mode": "all", "selector": {"pods": pods}}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("network-delay", {"latency": "1s"}),
        ("network-loss", {"ratio": "1"}),
        ("network-bandwidth", {"rate": "1Mbit/s"}),
    ],
)
def test_what_leaves_a_pod_can_be_concerned_towards_one_service_alone(
    kind: str, given: dict[str, str]
) -> None:
    one = experiment_of(KINDS[kind].from_text({**given, "peer": "front"}), POD)
    everybody = experiment_of(KINDS[kind].from_text(given), POD)
    assert (one.peer, everybody.peer) == ("front", "")
    assert one.spec == everybody.spec
    assert one.spec["direction"] == "to"


def test_ids_that_differ_in_letters_alone_have_objects_of_their_own() -> None:
    names = {name_of("F1", "shop/cart-0"), name_of("f1", "shop/cart-0"), name_of("f1", "shop/cart-1")}
    assert len(names) == 3
    assert all(len(name) <= 63 and name == name.lower() for name in names)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("http-delay", {"delay": "1s", "ratio": "50%"}, "every request, not 0.5"),
        ("cpu-hog", {"load": "33.3%"}, "33.3% is no whole percent"),
        ("jvm-latency", {"class": "A", "method": "b", "latency": "1500us"}, "no whole milliseconds"),
        ("db-slow-query", {"database": "a", "latency": "1s", "connector": "6"}, "connector=8"),
    ],
)
def test_what_chaos_mesh_can_not_do_exactly_is_refused(kind: str, given: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        experiment_of(KINDS[kind].from_text(given), POD)


def test_a_fault_of_http_on_a_pod_without_a_declared_port_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"app of shop/cart-7d9f-x2 declares no port"):
        experiment_of(KINDS["connection-abort"].from_text({}), replace(POD, port=0))


def test_parameters_that_are_none_of_the_kind_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no parameters of pod-kill"):
        fault_of(("pod-kill", {"no_such": 1}))
