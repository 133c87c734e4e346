"""Whom a group of records belongs to, by the attributes of its resource.

The service under whose name records go, by the first line that fits:

============================================  ======================================================
of the target system of this run              ``service.name``
a host (it names no service and no SDK)       ``host/<host.name>``, or ``host``
no ``service.name``, or ``unknown_service*``  ``unknown_service...@<host, pod or container>``
with a ``service.namespace``                  ``<service.namespace>/<service.name>``
any other                                     ``service.name``
============================================  ======================================================

The target's own SDKs send `microservo.target`, which nobody sends by accident. A stranger whose name would be
one of the target's is given another by the collector, which knows those names.

The instance is `service.instance.id`, else the pod (with its namespace), else the container, else
`<host>:<process.pid>` or what there is of both.

What an instance is stands in `microservo.kind` (service, host, load_generator), where somebody set it. Else
it is a host where records are of the Collector's hostmetrics, or the resource says where but neither what nor
by which SDK; a load generator where it bears the name of a known one; and a service otherwise.

Source: OpenTelemetry semantic conventions 1.37, "Resource".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from microservo.adapters.otlp.values import text_of
from microservo.domain.bounded_names import cut
from microservo.domain.identity import KINDS, Identity, Kind

UNKNOWN_SERVICE = "unknown_service"
"""The name that OpenTelemetry's resource conventions give to a service without one, or begin it with."""
TARGET = "microservo.target"
"""Attribute of what belongs to the target system of a run."""
KIND = "microservo.kind"
"""Attribute that says what an instance is: service, host or load_generator."""
HOST = "host"
"""Service name of a host that has no name, and what that of others begins with."""

_LOAD_GENERATORS = frozenset(
    {"loadgen", "loadgenerator", "load-generator", "k6", "locust", "jmeter", "gatling", "telemetrygen"}
)
_HOST_SCOPE = "hostmetricsreceiver"
_KEPT_BYTES = 16 * 1024
_SDK = ("telemetry.sdk.name", "telemetry.sdk.language", "telemetry.distro.name")


class HasResource(Protocol):
    """ResourceSpans, ResourceLogs and ResourceMetrics have this in common."""

    @property
    def resource(self) -> Resource: ...


class HasScope(Protocol):
    """ScopeSpans, ScopeLogs and ScopeMetrics have this in common."""

    @property
    def scope(self) -> InstrumentationScope: ...


class Origin(NamedTuple):
    """Who sent a group.

    Attributes:
        service: name under which its records go.
        instance: among the instances of the service; empty where nothing tells it.
        identity: all else that is known.
        scopes: names of the instrumentation scopes of its records, sorted.
    """

    service: str
    instance: str
    identity: Identity
    scopes: tuple[str, ...] = ()


def origin_of(group: HasResource, scopes: Iterable[HasScope] = ()) -> Origin:
    """Who sent a group; `unknown_service` and the empty string where it does not say.

    Args:
        group: of records.
        scopes: those of its records.
    """
    names = tuple(sorted({cut(each.scope.name) for each in scopes} - {""}))
    resource = group.resource.SerializeToString(deterministic=True)
    return (_known if len(resource) <= _KEPT_BYTES else _origin)(resource, names)


def _origin(resource: bytes, scopes: tuple[str, ...]) -> Origin:
    found = {each.key: text_of(each.value) for each in Resource.FromString(resource).attributes}
    identity = _identity(found, scopes)
    return Origin(cut(_service(identity, found)), cut(_instance(identity, found)), identity, scopes)


# A sender's resource is the same in all that it sends.
_known = lru_cache(maxsize=1024)(_origin)


def _identity(found: Mapping[str, str], scopes: tuple[str, ...]) -> Identity:
    def first(*keys: str) -> str:
        return cut(next((found[key] for key in keys if found.get(key)), ""))

    return Identity(
        kind=_kind(found, scopes),
        is_target=TARGET in found,
        name=first("service.name"),
        namespace=first("service.namespace"),
        version=first("service.version"),
        environment=first("deployment.environment.name", "deployment.environment"),
        host=first("host.name", "host.id"),
        pod=cut(_pod(found)),
        container=first("container.id", "k8s.container.name", "container.name"),
        pid=first("process.pid"),
        executable=first("process.executable.name", "process.command"),
        language=first("telemetry.sdk.language"),
        region=first("cloud.region"),
    )


def _pod(found: Mapping[str, str]) -> str:
    pod = found.get("k8s.pod.name") or found.get("k8s.pod.uid", "")
    namespace = found.get("k8s.namespace.name", "")
    return f"{namespace}/{pod}" if pod and namespace else pod


def _kind(found: Mapping[str, str], scopes: tuple[str, ...]) -> Kind:
    given = found.get(KIND, "")
    for kind in KINDS:
        if kind == given:
            return kind
    if any(_HOST_SCOPE in scope for scope in scopes):
        return "host"
    name = found.get("service.name", "")
    if name in _LOAD_GENERATORS:
        return "load_generator"
    is_somewhere = any(key.startswith(("host.", "os.", "process.")) for key in found)
    is_something = not _is_unknown(name) or any(
        key.startswith(("k8s.pod.", "container.")) or key in _SDK for key in found
    )
    return "host" if is_somewhere and not is_something else "service"


def _service(identity: Identity, found: Mapping[str, str]) -> str:
    if identity.is_target and identity.name:
        return identity.name
    if _is_unknown(identity.name):
        if identity.kind == "host":
            return f"{HOST}/{identity.host}" if identity.host else HOST
        name = identity.name or UNKNOWN_SERVICE
        place = identity.host or identity.pod or found.get("container.id", "")
        name = f"{name}@{place}" if place else name
    else:
        name = identity.name
    return f"{identity.namespace}/{name}" if identity.namespace else name


def _instance(identity: Identity, found: Mapping[str, str]) -> str:
    of_process = ":".join(filter(None, (identity.host, identity.pid)))
    return found.get("service.instance.id") or identity.pod or found.get("container.id") or of_process


def _is_unknown(name: str) -> bool:
    return not name or name.startswith(UNKNOWN_SERVICE)
