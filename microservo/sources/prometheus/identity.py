"""Whom a series of Prometheus is about, by its labels; all that is not said thereby stays in its name.

===================  ============================================  ==========================================
`of`                 service                                       instance
===================  ============================================  ==========================================
pod                  what owns the pod (see `owners`)              ``<namespace>/<pod>``
host                 ``host/<instance without its port>``          instance
job                  ``service_name``, ``service``, ``app``,       ``service_instance_id``, pod, instance
                     else ``job``
istio-destination    ``destination_workload``
istio-source         ``source_workload``
===================  ============================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from microservo.domain.bounded_names import cut
from microservo.domain.identity import Identity
from microservo.sources.prometheus.settings import Of

Labels = Mapping[str, str]
OwnerOf = Callable[[str, str], str]
"""Gives the workload that owns a pod, by namespace and pod."""
_SERVICE = ("service_name", "service", "app_kubernetes_io_name", "app", "job")
_NAME = "__name__"
_UNKNOWN = ("", "unknown")
"""Istio calls so what it does not know."""


class Subject(NamedTuple):
    """Whom a series is about.

    Attributes:
        labels: the others, which set series of one metric and instance apart.
    """

    service: str
    instance: str
    identity: Identity
    labels: tuple[tuple[str, str], ...]


def subject_of(labels: Labels, of: Of, owner_of: OwnerOf) -> Subject | None:
    """Whom a series is about; None where its labels don't say."""
    if of == "pod":
        return _pod(labels, owner_of)
    if of == "host":
        return _host(labels)
    if of == "job":
        return _job(labels)
    return _istio(labels, of.removeprefix("istio-"))


def _pod(labels: Labels, owner_of: OwnerOf) -> Subject | None:
    namespace, pod = labels.get("namespace", ""), labels.get("pod", "")
    if not pod:
        return None
    service, place = owner_of(namespace, pod), "/".join(filter(None, (namespace, pod)))
    identity = Identity(name=service, namespace=namespace, pod=place, host=labels.get("node", ""))
    return Subject(service, place, identity, _others(labels, "namespace", "pod", "node", "job", "instance"))


def _host(labels: Labels) -> Subject | None:
    instance = labels.get("instance", "")
    if not instance:
        return None
    name = labels.get("nodename") or labels.get("node") or _without_port(instance)
    identity = Identity(kind="host", host=name)
    return Subject(
        cut(f"host/{name}"), instance, identity, _others(labels, "instance", "job", "node", "nodename")
    )


def _job(labels: Labels) -> Subject | None:
    key = next((key for key in _SERVICE if labels.get(key)), "")
    if not key:
        return None
    namespace, pod = labels.get("namespace", ""), labels.get("pod", "")
    # OpenTelemetry's exporters write the namespace of a service into its job.
    of_otel, _, name = labels[key].rpartition("/")
    service = labels[key] if key == "job" else name
    place = "/".join(filter(None, (namespace, pod))) if pod else ""
    instance = labels.get("service_instance_id") or place or labels.get("instance", "")
    identity = Identity(
        name=name,
        namespace=of_otel or namespace,
        version=labels.get("service_version") or labels.get("version", ""),
        pod=place,
        container=labels.get("container", ""),
        host=labels.get("node", ""),
    )
    used = (key, "job", "instance", "namespace", "pod", "container", "node", "service_instance_id")
    return Subject(cut(service), cut(instance), identity, _others(labels, *used))


def _istio(labels: Labels, side: str) -> Subject | None:
    service = labels.get(f"{side}_workload", "")
    if service in _UNKNOWN:
        return None
    namespace = labels.get(f"{side}_workload_namespace", "")
    identity = Identity(name=service, namespace=namespace)
    return Subject(
        cut(service), "", identity, _others(labels, f"{side}_workload", f"{side}_workload_namespace")
    )


def _others(labels: Labels, *used: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in labels.items() if key not in (_NAME, *used) and value))


def _without_port(instance: str) -> str:
    host, colon, port = instance.rpartition(":")
    return host if colon and port.isdecimal() else instance
