"""The documents that a registry and its clients exchange; docs/registry.openapi.json is made from them."""

from __future__ import annotations

import hashlib
from ipaddress import ip_address
from typing import Annotated, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, RootModel, model_validator

from microservo.domain.documents import Document
from microservo.domain.geography.demand import MOST_REQUESTS
from microservo.domain.registry.instances import Condition, State
from microservo.domain.registry.selection import (
    DEFAULT_DISTANCE_M,
    DEFAULT_FACTOR,
    LEAST_FACTOR,
    MOST_AMONG,
    By,
    Selection,
)
from schemas.records import Registration

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"
MOST_LOCATIONS = 20_000
_MOST_METADATA = 32
_MOST_TEXT = 1024
_NO_SPACE = r"^[!-~]{1,1024}$"
_EARTH_KM = 20_038.0
_UNKNOWN_PLACE = {"X-Latitude": "-1", "X-Longitude": "-1"}
"""What usmanager's load balancer sends of users whose address is in no database."""

Name = Annotated[str, Field(pattern=NAME)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Load = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=MOST_REQUESTS)]
LongInteger = Annotated[int, Field(json_schema_extra={"format": "int64"})]
"""More than generated clients would make room for."""
Text = Annotated[str, Field(max_length=_MOST_TEXT)]


class _Placed(Protocol):
    @property
    def latitude(self) -> float | None: ...

    @property
    def longitude(self) -> float | None: ...


P = TypeVar("P", bound=_Placed)


def refuse_half_a_place(document: P) -> P:
    """Refuses a document with one coordinate and not the other.

    Raises:
        ValueError: it is one.
    """
    if (document.latitude is None) != (document.longitude is None):
        msg = "expected latitude and longitude, or neither"
        raise ValueError(msg)
    return document


class ConditionDocument(Document):
    """How an instance is; what is left out stays as it was."""

    load: Load | None = Field(default=None, description="Share of its capacity that is in use, from 0.")
    healthy: bool | None = Field(default=None, description="Whether it can answer; else it is not given out.")
    draining: bool | None = Field(
        default=None, description="Whether it shall get no new requests; then it is not given out."
    )

    def condition(self) -> Condition:
        """The same as a value of the domain."""
        return Condition(load=self.load, healthy=self.healthy, draining=self.draining)


class RegistrationDocument(ConditionDocument):
    """An instance to be registered. It sends heartbeats, unless the registry watches it."""

    service: Name
    instance: Name | None = Field(
        default=None, description="Its identity; SHA-1 of service and endpoint if not given."
    )
    endpoint: str = Field(pattern=_NO_SPACE, description="Where it is called: a URL, or host:port.")
    latitude: Latitude | None = Field(default=None, description="Where it runs; by default at the registry.")
    longitude: Longitude | None = Field(
        default=None, description="Where it runs; by default at the registry."
    )
    region: Text | None = Field(default=None, description="By default the one with the nearest centre.")
    pid: int | None = Field(
        default=None,
        ge=1,
        le=2**31 - 1,
        description="A process on the registry's machine; when it ends, the instance is gone.",
    )
    health_url: str | None = Field(
        default=None,
        pattern=_NO_SPACE,
        description="URL at the endpoint's host that the registry asks each second: 200 is healthy; three "
        "times without an answer, and the instance is gone.",
    )
    metadata: dict[str, Text] = Field(
        default={}, max_length=_MOST_METADATA, description="What it says of itself besides."
    )

    _is_whole = model_validator(mode="after")(refuse_half_a_place)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        refuse_unreachable(self.endpoint)
        if self.health_url is not None:
            refuse_foreign_health_url(self.health_url, self.endpoint)
        return self

    @property
    def instance_name(self) -> str:
        """Its identity."""
        text = f"{self.service}_{self.endpoint}"
        return self.instance or hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def refuse_unreachable(endpoint: str) -> None:
    """Refuses an endpoint that nobody could call, for whoever is given it would only find out then.

    Raises:
        ValueError: it is one: no host, a port that is none, an IPv6 address without brackets, or the address
            by which a process listens everywhere.
    """
    is_url = "://" in endpoint
    try:
        parts = urlsplit(endpoint if is_url else f"//{endpoint}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0 or (port is None and not is_url):
        msg = f"endpoint {endpoint!r}: expected a URL, or host:port with a port from 1 to 65535; IPv6 in []"
        raise ValueError(msg)
    if _is_unspecified(host):
        msg = f"endpoint {endpoint!r}: {host} is where it listens; give the address by which others reach it"
        raise ValueError(msg)


def _is_unspecified(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        # A name.
        return False


def refuse_foreign_health_url(health_url: str, endpoint: str) -> None:
    """Refuses a URL by which a registry would be sent to other machines than the instance's own.

    Raises:
        ValueError: it is one.
    """
    try:
        url, host = (
            urlsplit(health_url),
            urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname,
        )
        is_right = url.scheme == "http" and url.hostname is not None and url.hostname == host
        is_right = is_right and url.username is None and url.port != 0
    except ValueError:
        is_right = False
    if not is_right:
        msg = f"health_url {health_url!r}: expected http:// at the host of the endpoint {endpoint!r}"
        raise ValueError(msg)


class InstanceDocument(Document):
    """An instance as a registry knows it."""

    service: str
    instance_id: str = Field(alias="instanceId", description="Its identity among those of its service.")
    endpoint: str = Field(description="Where it is called.")
    latitude: float
    longitude: float
    region: str
    registry: str = Field(description="The registry that it keeps in touch with.")
    state: State = Field(
        description="up; unconfirmed: its registry is silent; draining and unhealthy: not given out."
    )
    load: float | None = Field(default=None, description="Left out where it is not known.")
    distance_km: float | None = Field(default=None, description="From who asks, where somebody asked.")
    metadata: dict[str, str]


def instance_document(
    record: Registration, state: State, *, distance_m: float | None = None
) -> InstanceDocument:
    """An instance with its state and, for who asks, its distance in metres."""
    return InstanceDocument(
        service=record.service,
        instance_id=record.instance,
        endpoint=record.endpoint,
        latitude=record.latitude,
        longitude=record.longitude,
        region=record.region,
        registry=record.registry,
        state=state,
        load=record.load,
        distance_km=None if distance_m is None else round(distance_m / 1000, 6),
        metadata=record.metadata,
    )


class InstancesDocument(Document):
    """The instances of a service."""

    instances: list[InstanceDocument]


class ServicesDocument(Document):
    """How many instances there are of each service."""

    services: dict[str, int]


class PlaceQuestion(Document):
    """Where who asks is: here, else in the headers X-Latitude and X-Longitude, else at the registry."""

    latitude: Latitude | None = Field(default=None, description="Of who asks, degrees north.")
    longitude: Longitude | None = Field(default=None, description="Of who asks, degrees east.")

    _is_whole = model_validator(mode="after")(refuse_half_a_place)


class PlaceHeaders(Document):
    """The same in headers."""

    latitude: Latitude | None = Field(default=None, alias="X-Latitude")
    longitude: Longitude | None = Field(default=None, alias="X-Longitude")

    _is_whole = model_validator(mode="after")(refuse_half_a_place)

    @model_validator(mode="before")
    @classmethod
    def _unknown_place(cls, given: object) -> object:
        return {} if given == _UNKNOWN_PLACE else given


class EndpointQuestion(PlaceQuestion):
    """Which instance is asked for; the closest one, where nothing is said."""

    among: int | None = Field(
        default=None, ge=1, le=MOST_AMONG, description="By chance, among so many that are closest."
    )
    distance: float | None = Field(
        default=None,
        ge=0.001,
        le=_EARTH_KM,
        allow_inf_nan=False,
        description="By chance, among those within so many kilometres, which are multiplied by factor until "
        "there is one.",
    )
    factor: float | None = Field(
        default=None,
        ge=LEAST_FACTOR,
        le=1000,
        allow_inf_nan=False,
        description=f"{DEFAULT_FACTOR:g}, as a rule.",
    )
    by: By = Field(default="distance", description="load: the more capacity is free, the better the chance.")

    def selection(self) -> Selection:
        """The same as a value of the domain; a factor alone is of the default distance.

        Raises:
            InvalidInput: it asks for two things at once.
        """
        distance_m = None if self.distance is None else self.distance * 1000
        if self.factor is not None and distance_m is None and self.among is None:
            return Selection(distance_m=DEFAULT_DISTANCE_M, factor=self.factor, by=self.by)
        return Selection(
            among=self.among, distance_m=distance_m, factor=self.factor or DEFAULT_FACTOR, by=self.by
        )


class LocationDocument(Document):
    """So many requests to a service from a place."""

    service: Name
    latitude: Latitude | None = Field(default=None, description="By default where the registry is.")
    longitude: Longitude | None = Field(default=None, description="By default where the registry is.")
    count: Count = 1

    _is_whole = model_validator(mode="after")(refuse_half_a_place)


class LocationsDocument(RootModel[list[LocationDocument]]):
    """Requests from many places; 20,000 at the most."""

    root: Annotated[list[LocationDocument], Field(max_length=MOST_LOCATIONS)]


class CountedDocument(Document):
    """How many requests were counted."""

    counted: LongInteger


class LocationsQuestion(Document):
    """Which requests are asked for."""

    aggregation: Annotated[bool, BeforeValidator(lambda given: given == "" or given)] = Field(
        default=False, description="Added up by service and place; the parameter needs no value."
    )
    interval: int = Field(
        default=60_000,
        ge=1_000,
        le=900_000,
        description="Milliseconds back from now, in whole seconds; counts with aggregation.",
    )
    limit: int = Field(default=1_000, ge=1, le=10_000, description="Most rows; counts without aggregation.")


class PlaceDocument(Document):
    """So many requests from a place."""

    latitude: float
    longitude: float
    count: LongInteger


class LocationRowDocument(PlaceDocument):
    """So many requests to a service from a place, in an interval of a second or less."""

    service: str
    until_us: LongInteger = Field(description="End of the interval, microseconds UTC.")


class LocationsAnswer(Document):
    """Requests to this registry: rows, or what they add up to with aggregation."""

    requests: list[LocationRowDocument] | None = Field(default=None, description="Newest first.")
    interval_ms: int | None = None
    services: dict[str, list[PlaceDocument]] | None = Field(default=None, description="By service.")


class HealthDocument(Document):
    """A registry that answers."""

    status: str = "ok"
    age_s: float = Field(description="Seconds since it last heard of the broker, as in X-Registry-Age.")
