"""A system of microservices: which service calls which, the work each request is, what users do.

::

    Topology ── services ─► Service ── endpoints ─► Endpoint ── calls ─► Call ─► another service's endpoint
             │                      └─ heap ─► Heap         └─ noise ─► Noise
             ├─ journeys ─► Journey ── steps ─► Step ─► an endpoint of the entry service
             └─ load ─► Load

A system that is well is not still: it has errors, retries, slow requests, warnings, memory that moves, load
that rises and falls. All of that stands here too, and is the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ServiceType = Literal["frontend", "backend", "database"]
"""What a service is for those who launch it: users come to it, others call it, or it keeps their data."""


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
class Noise:
    """What varies and goes wrong by itself, as shares (0..1) of the requests of an endpoint.

    Args:
        error_share: meet a broken record and are answered 500.
        busy_share: are turned away with 503, so that callers may try again.
        reset_share: lose their connection, likewise.
        crash_share: end the process that serves them, which is then started again.
        slow_share: wait before they are served; how long is exponential with mean `slow_ms`.
        warning_share: have one of the service's warnings logged.
        work_sigma: standard deviation of the logarithm of their processor time; the median is `cpu_ms`.
    """

    error_share: float = 0.0
    busy_share: float = 0.0
    reset_share: float = 0.0
    crash_share: float = 0.0
    slow_share: float = 0.0
    slow_ms: float = 100.0
    warning_share: float = 0.0
    work_sigma: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Heap:
    """Memory that requests leave behind until it is collected.

    Args:
        garbage_kb: kibibytes left behind by each request.
        collect_mb: mebibytes at which all of it is given back.
        collect_ms: processor time that this takes, during which nothing is served.
    """

    garbage_kb: float = 0.0
    collect_mb: float = 8.0
    collect_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One kind of request and the work it is.

    Args:
        cpu_ms: median of the processor time burnt per request.
        cache: name of the in-process cache that it reads; a hit spares the datastore.
        cache_ttl_s: how long an entry of it stays good.
        cache_capacity: how many entries it holds; the one read longest ago makes room.
        invalidates: name of the in-process cache whose entry it removes.
        datastore: the call made on a miss, or always when there is no cache.
    """

    name: str
    cpu_ms: float = 0.0
    cache: str | None = None
    cache_ttl_s: float = 30.0
    cache_capacity: int = 512
    invalidates: str | None = None
    datastore: Call | None = None
    calls: tuple[Call, ...] = ()
    response_bytes: int = 200
    noise: Noise = Noise()

    def all_calls(self) -> tuple[Call, ...]:
        """The datastore's call, if any, then the others."""
        return (self.datastore, *self.calls) if self.datastore else self.calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service; `memory_mb` (mebibytes) is held by each of its `replicas`.

    Args:
        type: what it is for those who launch it.
        launch_order: of two services that call each other, the one with the smaller is launched first.
        output_label: placeholder under which the launch arguments of others get its address; empty for none.
        max_active: requests that each of them serves at once; further ones are turned away with 503.
        warnings: what it may log on a request; `{key}` in one is the request's key.
    """

    name: str
    type: ServiceType = "backend"
    launch_order: int = 0
    output_label: str = ""
    replicas: int = 1
    max_active: int = 64
    memory_mb: float = 0.0
    heap: Heap = Heap()
    warnings: tuple[str, ...] = ()
    endpoints: Mapping[str, Endpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request of a user to the entry service, `think_ms` after the step before was begun."""

    endpoint: str
    think_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """What one user does; chosen in proportion to `weight`."""

    name: str
    weight: float
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How the rate of journeys moves about the one that is asked for.

    Args:
        amplitude: of a sine, as a part (0..1) of the rate; where in its period it begins depends on the seed.
        period_s: of the sine, as a day would be.
        noise: standard deviation of the logarithm of a factor, drawn anew every `noise_s` seconds.
    """

    amplitude: float = 0.0
    period_s: float = 600.0
    noise: float = 0.0
    noise_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Services by name, and the journeys of the users who come in at `entry`."""

    name: str
    entry: str
    services: Mapping[str, Service]
    journeys: tuple[Journey, ...] = ()
    load: Load = Load()

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
