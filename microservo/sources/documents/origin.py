"""Whom a document is about: what Filebeat, Elastic Agent, Logstash, APM and OpenTelemetry say of it.

The service is `service.name`, else the workload, the `app` of the pod's labels, what owns the pod by its
name, the container, or the host, in this order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

import numpy as np

from microservo.domain.bounded_names import cut
from microservo.domain.identity import Identity
from microservo.domain.rows import Codes
from microservo.sources.documents.fields import Documents
from microservo.sources.prometheus.owners import workload_of

_NAMESPACE = ("kubernetes.namespace", "kubernetes.namespace_name", "k8s.namespace.name")
_POD = ("kubernetes.pod.name", "kubernetes.pod_name", "k8s.pod.name")
_CONTAINER = (
    "kubernetes.container.name",
    "kubernetes.container_name",
    "k8s.container.name",
    "container.name",
)
_WORKLOAD = tuple(
    f"{prefix}.{kind}.name"
    for prefix in ("kubernetes", "k8s")
    for kind in ("deployment", "statefulset", "daemonset", "cronjob", "job")
)
# Dots within labels become underscores on their way into an index.
_APP = ("kubernetes.labels.app", "kubernetes.labels.app_kubernetes_io/name", "kubernetes.labels.k8s-app")
_INSTANCE = ("service.node.name", "service.instance.id")
_HOST = ("host.name", "host.hostname", "agent.hostname", "host", "hostname")
_ONE = (
    "service.name",
    "service.version",
    "service.environment",
    "container.id",
    "kubernetes.node.name",
    "k8s.node.name",
)
ORIGIN_FIELDS = (*_ONE, *_INSTANCE, *_POD, *_NAMESPACE, *_WORKLOAD, *_APP, *_CONTAINER, *_HOST)
"""All that is looked at."""
_UNKNOWN = "unknown"


class Origin(NamedTuple):
    """Who a document is from."""

    service: str
    instance: str
    identity: Identity


def by_origin(documents: Documents) -> Iterator[tuple[Origin, Codes]]:
    """Who documents are from, each with the places of theirs in order; `unknown` for a service not said."""
    # By the fields that there are, which are few, rather than by all that could say so.
    names = [each for each in dict.fromkeys(ORIGIN_FIELDS) if documents.have(each)]
    said = zip(*map(documents.texts, names), strict=True) if names else repeat((), len(documents))
    index: dict[tuple[str, ...], int] = {}
    codes = np.array([index.setdefault(each, len(index)) for each in said], np.int64)
    origins: dict[Origin, int] = {}
    # Who is the same may say more than one thing of what tells nobody apart.
    same = [origins.setdefault(_origin(tuple(zip(names, each, strict=True))), len(origins)) for each in index]
    codes = np.array(same, np.int64)[codes]
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(origins)))[:-1]
    yield from zip(origins, np.split(order, ends) if origins else (), strict=True)


# Who sends is the same in nearly all that it sends.
@lru_cache(maxsize=4096)
def _origin(given: tuple[tuple[str, str], ...]) -> Origin:
    found = dict(given)

    def first(*names: str) -> str:
        return cut(next((found[name] for name in names if found.get(name)), ""))

    pod, namespace, host = first(*_POD), first(*_NAMESPACE), first(*_HOST)
    place = "/".join(filter(None, (namespace, pod))) if pod else ""
    container = first(*_CONTAINER)
    service = first("service.name") or first(*_WORKLOAD, *_APP) or (workload_of(pod) if pod else container)
    is_host = not service and bool(host)
    identity = Identity(
        kind="host" if is_host else "service",
        name=first("service.name"),
        namespace=namespace,
        version=first("service.version"),
        environment=first("service.environment"),
        host=first("kubernetes.node.name", "k8s.node.name") or host,
        pod=place,
        container=first("container.id") or container,
    )
    instance = first(*_INSTANCE) or place or first("container.id") or host
    return Origin(service or (cut(f"host/{host}") if is_host else _UNKNOWN), instance, identity)
