"""A system of microservices: which service calls which, the work each request is, what users do.

::

    Topology ── services ─► Service ── endpoints ─► Endpoint ── calls ─► Call ─► another service's endpoint
             └─ journeys ─► Journey ── steps ─► Step ─► an endpoint of the entry service
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that an endpoint makes of another service.

    Args:
        share: part of the requests that make this call, 0..1.
        times: how often it is made, one after another.
        timeout_ms: for one attempt.
        retries: further attempts after a timeout, a lost connection, or a 502, 503 or 504.
        optional: a failure is only warned of, and the caller answers without it.
    """

    service: str
    endpoint: str
    share: float = 1.0
    times: int = 1
    timeout_ms: float = 1000.0
    retries: int = 0
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One kind of request and the work it is.

    Args:
        cpu_ms: processor time burnt per request.
        cache: name of the in-process cache that it reads; a hit spares the datastore.
        invalidates: name of the in-process cache whose entry it removes.
        datastore: the call made on a miss, or always when there is no cache.
    """

    name: str
    cpu_ms: float = 0.0
    cache: str | None = None
    invalidates: str | None = None
    datastore: Call | None = None
    calls: tuple[Call, ...] = ()
    response_bytes: int = 200

    def all_calls(self) -> tuple[Call, ...]:
        """The datastore's call, if any, then the others."""
        return (self.datastore, *self.calls) if self.datastore else self.calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service; `memory_mb` (mebibytes) is held by each of its `replicas`."""

    name: str
    replicas: int = 1
    memory_mb: float = 0.0
    endpoints: Mapping[str, Endpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request of a user to the entry service, made after `think_ms` of thought."""

    endpoint: str
    think_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """What one user does; chosen in proportion to `weight`."""

    name: str
    weight: float
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Services by name, and the journeys of the users who come in at `entry`."""

    name: str
    entry: str
    services: Mapping[str, Service]
    journeys: tuple[Journey, ...] = ()

    def callees(self, service: str) -> tuple[str, ...]:
        """The services that `service` calls, by name."""
        endpoints = self.services[service].endpoints.values()
        return tuple(sorted({call.service for endpoint in endpoints for call in endpoint.all_calls()}))

    def callers(self) -> dict[str, tuple[str, ...]]:
        """For every service, the services that call it, by name."""
        edges = self.edges()
        return {name: tuple(caller for caller, callee in edges if callee == name) for name in self.services}

    def edges(self) -> tuple[tuple[str, str], ...]:
        """Every (caller, callee), sorted."""
        return tuple(sorted((name, callee) for name in self.services for callee in self.callees(name)))
