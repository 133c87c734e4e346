"""A system of microservices on paper: which service calls which, the work each request is, what users do.

::

    Topology ── services ─► Service ── endpoints ─► Endpoint ── calls ─► Call ─► another service's endpoint
             └─ journeys ─► Journey ── steps ─► Step ─► an endpoint of the entry service
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from microservo.errors import InvalidInput

_SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]*")
_ENDPOINT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


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


def load_topology(text: str, name: str) -> Topology:
    """The topology that a TOML text describes; `name` is what the text is called in errors.

    Raises:
        InvalidInput: it isn't TOML, or asks for something that can't be; names file, service and value.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{name}: not a TOML document ({error}); see docs/architecture.md for an example"
        raise InvalidInput(msg) from error
    table = _Table(document, name)
    topology = Topology(
        name=table.text("name"),
        entry=table.text("entry"),
        services={key: _service(entry, key) for key, entry in table.tables("services")},
        journeys=tuple(_journey(entry) for entry in table.rows("journeys")),
    )
    table.refuse_leftovers()
    _check(topology, name)
    return topology


class _Table:
    """A TOML table being read: hands out each value once, typed, and knows where it stands."""

    def __init__(self, values: object, where: str) -> None:
        self.where = where
        if not isinstance(values, dict):
            raise InvalidInput(self._wrong("a table", values))
        self._left: dict[str, Any] = dict(values)

    def text(self, key: str) -> str:
        value = self.optional_text(key)
        if not value:
            raise InvalidInput(self._wrong(f"{key} to be a name", value))
        return value

    def optional_text(self, key: str) -> str | None:
        value = self._left.pop(key, None)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(self._wrong(f"{key} to be a text", value))
        return value

    def number(self, key: str, default: float, *, low: float = 0.0, high: float = 1e9) -> float:
        value = self._left.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidInput(self._wrong(f"{key} to be a number from {low:g} to {high:g}", value))
        return float(value)

    def integer(self, key: str, default: int, *, low: int = 0, high: int = 10**9) -> int:
        value = self.number(key, default, low=low, high=high)
        if not value.is_integer():
            raise InvalidInput(self._wrong(f"{key} to be a whole number", value))
        return int(value)

    def flag(self, key: str) -> bool:
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise InvalidInput(self._wrong(f"{key} to be true or false", value))
        return value

    def tables(self, key: str) -> Iterator[tuple[str, _Table]]:
        values = self._left.pop(key, {})
        if not isinstance(values, dict) or not values:
            raise InvalidInput(self._wrong(f"at least one table under [{key}]", values))
        return ((name, _Table(value, f"{self.where}: {key}.{name}")) for name, value in values.items())

    def rows(self, key: str) -> Iterator[_Table]:
        values = self._left.pop(key, [])
        if not isinstance(values, list):
            raise InvalidInput(self._wrong(f"{key} to be a list of tables", values))
        return (_Table(value, f"{self.where}: {key}[{index}]") for index, value in enumerate(values))

    def refuse_leftovers(self) -> None:
        if self._left:
            raise InvalidInput(self._wrong("known keys only", sorted(self._left)))

    def _wrong(self, expected: str, got: object) -> str:
        return f"{self.where}: expected {expected}, got {got!r}; correct it there"


def _service(table: _Table, name: str) -> Service:
    service = Service(
        name=_named(name, _SERVICE_NAME, table.where),
        replicas=table.integer("replicas", 1, low=1, high=100),
        memory_mb=table.number("memory_mb", 0.0, high=65536.0),
        endpoints={key: _endpoint(entry, key) for key, entry in table.tables("endpoints")},
    )
    table.refuse_leftovers()
    return service


def _endpoint(table: _Table, name: str) -> Endpoint:
    endpoint = Endpoint(
        name=_named(name, _ENDPOINT_NAME, table.where),
        cpu_ms=table.number("cpu_ms", 0.0, high=60_000.0),
        cache=table.optional_text("cache"),
        invalidates=table.optional_text("invalidates"),
        datastore=_datastore(table),
        calls=tuple(_call(row) for row in table.rows("calls")),
        response_bytes=table.integer("response_bytes", 200, high=100_000_000),
    )
    table.refuse_leftovers()
    if endpoint.cache and endpoint.datastore is None:
        msg = f"{table.where}: cache {endpoint.cache!r} has nothing to read on a miss; add datastore = ..."
        raise InvalidInput(msg)
    return endpoint


def _datastore(table: _Table) -> Call | None:
    service = table.optional_text("datastore")
    endpoint = table.optional_text("datastore_endpoint") or "Get"
    timeout_ms = table.number("datastore_timeout_ms", 500.0, low=1.0, high=600_000.0)
    retries = table.integer("datastore_retries", 1, high=10)
    if service is None:
        return None
    return Call(service=service, endpoint=endpoint, timeout_ms=timeout_ms, retries=retries)


def _call(table: _Table) -> Call:
    call = Call(
        service=table.text("service"),
        endpoint=table.text("endpoint"),
        share=table.number("share", 1.0, high=1.0),
        times=table.integer("times", 1, low=1, high=1000),
        timeout_ms=table.number("timeout_ms", 1000.0, low=1.0, high=600_000.0),
        retries=table.integer("retries", 0, high=10),
        optional=table.flag("optional"),
    )
    table.refuse_leftovers()
    return call


def _journey(table: _Table) -> Journey:
    journey = Journey(
        name=table.text("name"),
        weight=table.number("weight", 1.0, low=1e-6),
        steps=tuple(_step(row) for row in table.rows("steps")),
    )
    table.refuse_leftovers()
    if not journey.steps:
        msg = f"{table.where}: journey {journey.name!r} has no steps; add steps = [{{ endpoint = ... }}]"
        raise InvalidInput(msg)
    return journey


def _step(table: _Table) -> Step:
    step = Step(endpoint=table.text("endpoint"), think_ms=table.number("think_ms", 0.0, high=600_000.0))
    table.refuse_leftovers()
    return step


def _named(name: str, pattern: re.Pattern[str], where: str) -> str:
    if not pattern.fullmatch(name):
        msg = f"{where}: expected a name like {pattern.pattern}, got {name!r}; rename it"
        raise InvalidInput(msg)
    return name


def _check(topology: Topology, name: str) -> None:
    """Everything that is named exists, and no request ends up calling itself."""
    if topology.entry not in topology.services:
        msg = f"{name}: entry {topology.entry!r} is not a service; choose one of {sorted(topology.services)}"
        raise InvalidInput(msg)
    for journey in topology.journeys:
        for step in journey.steps:
            _known(topology, topology.entry, step.endpoint, f"{name}: journey {journey.name!r}")
    for service in topology.services.values():
        for endpoint in service.endpoints.values():
            for call in endpoint.all_calls():
                _known(topology, call.service, call.endpoint, f"{name}: {service.name}.{endpoint.name}")
    _refuse_cycles(topology, name)


def _known(topology: Topology, service: str, endpoint: str, where: str) -> None:
    if service not in topology.services:
        msg = f"{where}: calls unknown service {service!r}; choose one of {sorted(topology.services)}"
        raise InvalidInput(msg)
    endpoints = topology.services[service].endpoints
    if endpoint not in endpoints:
        msg = f"{where}: {service} has no endpoint {endpoint!r}; choose one of {sorted(endpoints)}"
        raise InvalidInput(msg)


def _refuse_cycles(topology: Topology, name: str) -> None:
    finished: set[tuple[str, str]] = set()

    def visit(service: str, endpoint: str, path: tuple[str, ...]) -> None:
        here = f"{service}.{endpoint}"
        if here in path:
            msg = f"{name}: {' -> '.join((*path, here))} never ends; remove one of these calls"
            raise InvalidInput(msg)
        if (service, endpoint) in finished:
            return
        for call in topology.services[service].endpoints[endpoint].all_calls():
            visit(call.service, call.endpoint, (*path, here))
        finished.add((service, endpoint))

    for service in topology.services.values():
        for endpoint in service.endpoints:
            visit(service.name, endpoint, ())
