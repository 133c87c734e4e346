"""Whom records belong to, by the resources that SDKs, agents and collectors in use send."""

from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from otlp_requests import gauge, metrics

from microservo.adapters.otlp.resource import Origin, origin_of

Attributes = dict[str, str | int | bool]
PYTHON: Attributes = {
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "opentelemetry",
    "telemetry.sdk.version": "1.39.1",
}
JAVA: Attributes = {
    "container.id": "3f2a" * 16,
    "host.arch": "amd64",
    "host.name": "node-3",
    "os.type": "linux",
    "process.executable.path": "/opt/java/bin/java",
    "process.pid": 17,
    "process.runtime.name": "OpenJDK Runtime Environment",
    "service.instance.id": "627cc493-f310-47de-96bd-71410b7dec09",
    "service.name": "shop",
    "service.version": "1.4",
    "telemetry.distro.name": "opentelemetry-java-instrumentation",
    "telemetry.sdk.language": "java",
}
HOSTMETRICS = "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/hostmetricsreceiver/cpu"


def origin(attributes: Attributes, scope: str = "") -> Origin:
    def value(given: str | int | bool) -> AnyValue:
        if isinstance(given, bool):
            return AnyValue(bool_value=given)
        return AnyValue(int_value=given) if isinstance(given, int) else AnyValue(string_value=given)

    sent = Resource(attributes=[KeyValue(key=key, value=value(given)) for key, given in attributes.items()])
    (group,) = metrics([gauge()], sent).resource_metrics
    return origin_of(group, [ScopeMetrics(scope=InstrumentationScope(name=scope))])


@pytest.mark.parametrize(
    ("attributes", "service", "instance", "kind"),
    [
        # The Java agent, and the same with a namespace.
        (JAVA, "shop", "627cc493-f310-47de-96bd-71410b7dec09", "service"),
        ({**JAVA, "service.namespace": "prod"}, "prod/shop", JAVA["service.instance.id"], "service"),
        # An agent that was given no name, on each of two hosts.
        (
            {**JAVA, "service.name": "unknown_service:java", "service.instance.id": ""},
            "unknown_service:java@node-3",
            JAVA["container.id"],
            "service",
        ),
        # The Python SDK: names nothing but itself.
        ({**PYTHON, "service.name": "unknown_service"}, "unknown_service", "", "service"),
        ({**PYTHON, "service.name": "price"}, "price", "", "service"),
        # Node with its detectors.
        (
            {
                "service.name": "dup",
                "host.name": "web-1",
                "process.pid": 4711,
                "telemetry.sdk.language": "nodejs",
            },
            "dup",
            "web-1:4711",
            "service",
        ),
        # Go on Kubernetes, by the operator.
        (
            {
                "service.name": "checkout",
                "k8s.namespace.name": "jshop",
                "k8s.pod.name": "checkout-7d9f",
                "k8s.node.name": "n1",
                "telemetry.sdk.language": "go",
            },
            "checkout",
            "jshop/checkout-7d9f",
            "service",
        ),
        # Rust without anything.
        (
            {"service.name": "unknown_service", "telemetry.sdk.language": "rust"},
            "unknown_service",
            "",
            "service",
        ),
        # The Collector's hostmetrics with its resource detection; by process.
        ({"host.name": "db-1", "os.type": "linux"}, "host/db-1", "db-1", "host"),
        (
            {"host.name": "db-1", "process.pid": 99, "process.executable.name": "postgres"},
            "host/db-1",
            "db-1:99",
            "host",
        ),
        ({"service.name": "k6"}, "k6", "", "load_generator"),
        ({"service.name": "shop", "microservo.kind": "load_generator"}, "shop", "", "load_generator"),
        # The target of the run.
        (
            {
                "service.name": "cartservice",
                "service.instance.id": "cartservice-0",
                "service.namespace": "x",
                "microservo.target": True,
            },
            "cartservice",
            "cartservice-0",
            "service",
        ),
    ],
)
def test_records_belong_to_a_service_and_an_instance_of_it(
    attributes: Attributes, service: str, instance: str, kind: str
) -> None:
    found = origin(attributes)
    assert (found.service, found.instance, found.identity.kind) == (service, instance, kind)


def test_hostmetrics_without_any_resource_are_of_a_host() -> None:
    found = origin({}, HOSTMETRICS)
    assert (found.service, found.identity.kind, found.scopes) == ("host", "host", (HOSTMETRICS,))


def test_152_processes_of_a_host_are_152_instances_of_it() -> None:
    found = {origin({"host.name": "db-1", "process.pid": pid})[:2] for pid in range(152)}
    assert len(found) == 152
    assert {service for service, _ in found} == {"host/db-1"}


def test_what_an_instance_says_of_itself_is_kept() -> None:
    identity = origin(JAVA).identity
    assert (identity.version, identity.host, identity.pid) == ("1.4", "node-3", "17")
    assert (identity.container, identity.language) == (JAVA["container.id"], "java")
    assert not identity.is_target
