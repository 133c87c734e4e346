"""Topology files: TOML in, a `Topology` out; or the first mistake, with its place and value."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from microservo.domain.documents import problem
from microservo.domain.topology import (
    Call,
    Endpoint,
    Heap,
    Journey,
    Load,
    Noise,
    Service,
    ServiceType,
    Step,
    Topology,
)
from microservo.errors import InvalidInput

_Name = Annotated[str, StringConstraints(min_length=1)]
_ServiceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
_EndpointName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
_Label = Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_-]*)?$")]
_TimeoutMs = Annotated[float, Field(ge=1, le=600_000)]
_Retries = Annotated[int, Field(ge=0, le=10)]
_Share = Annotated[float, Field(ge=0, le=1)]


class _Table(BaseModel):
    """A table of the file: known keys only, and no value of another type is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _CallTable(_Table):
    service: _Name
    endpoint: _Name
    share: float = Field(1.0, ge=0, le=1)
    times: int = Field(1, ge=1, le=1000)
    timeout_ms: _TimeoutMs = 1000.0
    retries: _Retries = 0
    optional: bool = False

    def call(self) -> Call:
        return Call(**self.model_dump())


class _NoiseTable(_Table):
    """Of the whole topology, a service or an endpoint; what a narrower one says goes before."""

    error_share: _Share = 0.0
    busy_share: _Share = 0.0
    reset_share: _Share = 0.0
    crash_share: _Share = 0.0
    slow_share: _Share = 0.0
    slow_ms: float = Field(100.0, ge=0, le=60_000)
    warning_share: _Share = 0.0
    work_sigma: float = Field(0.2, ge=0, le=3)


class _HeapTable(_Table):
    """Of the whole topology or a service; likewise."""

    garbage_kb: float = Field(0.0, ge=0, le=1_000_000)
    collect_mb: float = Field(8.0, ge=1, le=65_536)
    collect_ms: float = Field(0.0, ge=0, le=10_000)


_TableT = TypeVar("_TableT", bound=_Table)


def _narrowed(wide: _TableT, narrow: _TableT) -> _TableT:
    """What the narrow table says, and the wide one where it says nothing."""
    return wide.model_copy(update=narrow.model_dump(exclude_unset=True))


class _EndpointTable(_Table):
    cpu_ms: float = Field(0.0, ge=0, le=60_000)
    cache: _Name | None = None
    cache_ttl_s: float = Field(30.0, gt=0, le=86_400)
    cache_capacity: int = Field(512, ge=1, le=1_000_000)
    invalidates: _Name | None = None
    datastore: _Name | None = None
    datastore_endpoint: _Name = "Get"
    datastore_timeout_ms: _TimeoutMs = 500.0
    datastore_retries: _Retries = 1
    calls: list[_CallTable] = []
    response_bytes: int = Field(200, ge=0, le=100_000_000)
    noise: _NoiseTable = _NoiseTable()

    @model_validator(mode="after")
    def _cache_has_a_datastore(self) -> Self:
        if self.cache and self.datastore is None:
            msg = f"cache {self.cache!r} has nothing to read on a miss; add datastore = ..."
            raise ValueError(msg)
        return self

    def endpoint(self, name: str, noise: _NoiseTable) -> Endpoint:
        return Endpoint(
            name=name,
            cpu_ms=self.cpu_ms,
            cache=self.cache,
            cache_ttl_s=self.cache_ttl_s,
            cache_capacity=self.cache_capacity,
            invalidates=self.invalidates,
            datastore=self._datastore(),
            calls=tuple(table.call() for table in self.calls),
            response_bytes=self.response_bytes,
            noise=Noise(**_narrowed(noise, self.noise).model_dump()),
        )

    def _datastore(self) -> Call | None:
        if self.datastore is None:
            return None
        return Call(
            service=self.datastore,
            endpoint=self.datastore_endpoint,
            timeout_ms=self.datastore_timeout_ms,
            retries=self.datastore_retries,
        )


class _ServiceTable(_Table):
    type: ServiceType = "backend"
    launch_order: int = Field(0, ge=0, le=1000)
    output_label: _Label = ""
    replicas: int = Field(1, ge=1, le=100)
    max_active: int = Field(64, ge=1, le=100_000)
    memory_mb: float = Field(0.0, ge=0, le=65_536)
    heap: _HeapTable = _HeapTable()
    noise: _NoiseTable = _NoiseTable()
    warnings: list[_Name] = []
    endpoints: dict[_EndpointName, _EndpointTable] = Field(min_length=1)

    def service(self, name: str, noise: _NoiseTable, heap: _HeapTable) -> Service:
        own = _narrowed(noise, self.noise)
        return Service(
            name=name,
            type=self.type,
            launch_order=self.launch_order,
            output_label=self.output_label,
            replicas=self.replicas,
            max_active=self.max_active,
            memory_mb=self.memory_mb,
            heap=Heap(**_narrowed(heap, self.heap).model_dump()),
            warnings=tuple(self.warnings),
            endpoints={key: table.endpoint(key, own) for key, table in self.endpoints.items()},
        )


class _StepTable(_Table):
    endpoint: _Name
    think_ms: float = Field(0.0, ge=0, le=600_000)


class _JourneyTable(_Table):
    name: _Name
    weight: float = Field(1.0, ge=1e-6, le=1e9)
    steps: list[_StepTable] = Field(min_length=1)

    def journey(self) -> Journey:
        steps = tuple(Step(endpoint=table.endpoint, think_ms=table.think_ms) for table in self.steps)
        return Journey(name=self.name, weight=self.weight, steps=steps)


class _LoadTable(_Table):
    amplitude: float = Field(0.0, ge=0, lt=1)
    period_s: float = Field(600.0, ge=1, le=604_800)
    noise: float = Field(0.0, ge=0, le=1)
    noise_s: float = Field(10.0, ge=0.1, le=86_400)


class _TopologyFile(_Table):
    name: _Name
    entry: _Name
    noise: _NoiseTable = _NoiseTable()
    heap: _HeapTable = _HeapTable()
    load: _LoadTable = _LoadTable()
    services: dict[_ServiceName, _ServiceTable] = Field(min_length=1)
    journeys: list[_JourneyTable] = []

    def topology(self) -> Topology:
        return Topology(
            name=self.name,
            entry=self.entry,
            services={key: table.service(key, self.noise, self.heap) for key, table in self.services.items()},
            journeys=tuple(table.journey() for table in self.journeys),
            load=Load(**self.load.model_dump()),
        )


def load_topology(text: str, name: str) -> Topology:
    """The topology that a TOML text describes; `name` is what the text is called in errors.

    Raises:
        InvalidInput: it isn't TOML, or asks for something that can't be; names file, place and value.
    """
    topology = _parsed(text, name).topology()
    _check(topology, name)
    return topology


def _parsed(text: str, name: str) -> _TopologyFile:
    try:
        return _TopologyFile.model_validate(_document(text, name))
    except ValidationError as error:
        msg = f"{name}: {problem(error)}; correct it there"
        raise InvalidInput(msg) from error


def _document(text: str, name: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{name}: not a TOML document ({error}); see docs/architecture.md for an example"
        raise InvalidInput(msg) from error


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
