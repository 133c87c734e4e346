"""What the API of a registry offers: one table, from which come its routes and its OpenAPI document."""

from __future__ import annotations

from microservo.domain.geography import Coordinates
from microservo.domain.registry.directory import NotRegistered, RegisteredElsewhere
from microservo.domain.registry.documents import (
    NAME,
    ConditionDocument,
    CountedDocument,
    EndpointQuestion,
    HealthDocument,
    InstanceDocument,
    InstancesDocument,
    LocationDocument,
    LocationsAnswer,
    LocationsDocument,
    LocationsQuestion,
    PlaceHeaders,
    PlaceQuestion,
    RegistrationDocument,
    ServicesDocument,
)
from microservo.domain.registry.locations import Place
from microservo.runtime.api import AnswerHeader, Api, Call, Operation, PathParameter
from services.registry.registry import Registry


def _register(registry: Registry, call: Call) -> InstanceDocument:
    return registry.register(call.body)


def _heartbeat(registry: Registry, call: Call) -> InstanceDocument:
    condition: ConditionDocument = call.body or ConditionDocument()
    return registry.renew(call.path["service"], call.path["instance"], condition.condition())


def _change(registry: Registry, call: Call) -> InstanceDocument:
    return registry.change(call.path["service"], call.path["instance"], call.body.condition())


def _deregister(registry: Registry, call: Call) -> None:
    registry.remove(call.path["service"], call.path["instance"])


def _services(registry: Registry, _: Call) -> ServicesDocument:
    return ServicesDocument(services=registry.services())


def _endpoint(registry: Registry, call: Call) -> InstanceDocument:
    service = call.path["service"]
    found = registry.endpoint(service, call.query, _place_of(registry, call))
    if found is None:
        msg = f"no instance of {service!r} is up; register one, or ask again later"
        raise NotRegistered(msg)
    return found


def _endpoints(registry: Registry, call: Call) -> InstancesDocument:
    found = registry.endpoints(call.path["service"], _place_of(registry, call))
    if not found:
        msg = f"no instance of {call.path['service']!r} is registered; register one, or ask again later"
        raise NotRegistered(msg)
    return InstancesDocument(instances=found)


def _report(registry: Registry, call: Call) -> CountedDocument:
    return CountedDocument(counted=registry.count([_counted(call.body, registry.place)]))


def _report_many(registry: Registry, call: Call) -> CountedDocument:
    places = [_counted(each, registry.place) for each in call.body.root]
    return CountedDocument(counted=registry.count(places))


def _locations(registry: Registry, call: Call) -> LocationsAnswer:
    return registry.locations(call.query)


def _health(registry: Registry, _: Call) -> HealthDocument:
    return HealthDocument(age_s=registry.age_s)


def _age_s(registry: Registry) -> float:
    return registry.age_s


def _counted(document: LocationDocument, default: Coordinates) -> Place:
    if document.latitude is None or document.longitude is None:
        return Place(document.service, default.latitude, default.longitude, document.count)
    return Place(document.service, document.latitude, document.longitude, document.count)


def _place_of(registry: Registry, call: Call) -> Coordinates:
    """Where the query says, else the headers, else where the registry is."""
    given: tuple[PlaceQuestion, PlaceHeaders] = (call.query, call.headers)
    for each in given:
        if each.latitude is not None and each.longitude is not None:
            return Coordinates(each.latitude, each.longitude)
    return registry.place


_NOT_REGISTERED = {404: "There is no such instance; register it."}
_NONE = {404: "There is no instance of the service."}
_ELSEWHERE = {**_NOT_REGISTERED, 409: "The instance keeps in touch with another registry, which is named."}

_OPERATIONS: tuple[Operation[Registry], ...] = (
    Operation(
        name="register",
        method="post",
        path="/register",
        summary="Registers an instance, or again with what is new of it.",
        handle=_register,
        status=201,
        answer=InstanceDocument,
        body=RegistrationDocument,
    ),
    Operation(
        name="heartbeat",
        method="post",
        path="/services/{service}/instances/{instance}/heartbeat",
        summary="Says that an instance is there, and how it is; every 2 s.",
        handle=_heartbeat,
        answer=InstanceDocument,
        refusals=_ELSEWHERE,
        body=ConditionDocument,
        needs_body=False,
    ),
    Operation(
        name="changeInstance",
        method="patch",
        path="/services/{service}/instances/{instance}",
        summary="Says how an instance is, without being its heartbeat: to drain it, for example.",
        handle=_change,
        answer=InstanceDocument,
        refusals=_ELSEWHERE,
        body=ConditionDocument,
    ),
    Operation(
        name="deregister",
        method="delete",
        path="/services/{service}/instances/{instance}",
        summary="Removes an instance.",
        handle=_deregister,
        status=204,
        refusals=_ELSEWHERE,
    ),
    Operation(
        name="listServices",
        method="get",
        path="/services",
        summary="How many instances there are of each service, in all regions.",
        handle=_services,
        answer=ServicesDocument,
    ),
    Operation(
        name="findEndpoint",
        method="get",
        path="/services/{service}/endpoint",
        summary="An instance of a service for who asks; asking counts as a request from there.",
        handle=_endpoint,
        answer=InstanceDocument,
        refusals=_NONE,
        query=EndpointQuestion,
        headers=PlaceHeaders,
    ),
    Operation(
        name="listEndpoints",
        method="get",
        path="/services/{service}/endpoints",
        summary="All instances of a service, whatever their state, the closest one first.",
        handle=_endpoints,
        answer=InstancesDocument,
        refusals=_NONE,
        query=PlaceQuestion,
        headers=PlaceHeaders,
    ),
    Operation(
        name="reportRequests",
        method="post",
        path="/metrics",
        summary="Counts requests to a service from a place, such as a user's.",
        handle=_report,
        answer=CountedDocument,
        body=LocationDocument,
    ),
    Operation(
        name="reportLocations",
        method="post",
        path="/location/requests",
        summary="Counts requests to services from many places.",
        handle=_report_many,
        answer=CountedDocument,
        body=LocationsDocument,
    ),
    Operation(
        name="listLocations",
        method="get",
        path="/location/requests",
        summary="From where requests came to this registry: the newest rows, or what they add up to.",
        handle=_locations,
        answer=LocationsAnswer,
        query=LocationsQuestion,
    ),
    Operation(
        name="checkHealth",
        method="get",
        path="/healthz",
        summary="Whether it answers; needs no token.",
        handle=_health,
        answer=HealthDocument,
        is_open=True,
    ),
)

_NAME = PathParameter(pattern=NAME, expected="1 to 200 letters, digits, '.', '_' and '-'")

API = Api(
    title="MicroServo registry",
    description="Service discovery of one region, and from where services are asked for.",
    port=8761,
    operations=_OPERATIONS,
    path_parameters={"service": _NAME, "instance": _NAME},
    # How old what it says may be: many seconds while the broker is away.
    answer_headers={
        "X-Registry-Age": AnswerHeader(description="Seconds since it last heard of the broker.", value=_age_s)
    },
    statuses={NotRegistered: 404, RegisteredElsewhere: 409},
)
