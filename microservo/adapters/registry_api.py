"""The HTTP API of a registry, as its clients call it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from microservo.adapters.json_api import JsonApi
from microservo.domain.geography import Coordinates
from microservo.domain.registry.documents import (
    ConditionDocument,
    CountedDocument,
    EndpointQuestion,
    HealthDocument,
    InstanceDocument,
    InstancesDocument,
    LocationsDocument,
    RegistrationDocument,
)

TIMEOUT_S = 2.0


class RegistryApi:
    """Calls one registry; may be used by several threads.

    Args:
        url: of the registry, for example http://127.0.0.1:8761.
        token: what it asks for; empty for none.
        timeout_s: how long each step of an answer may take.

    Every call raises:
        InvalidInput: the registry refuses what is asked.
        Retryable: it does not answer, or can't for now.
    """

    def __init__(self, url: str, token: str = "", *, timeout_s: float = TIMEOUT_S) -> None:
        self._api = JsonApi(url, token, kind="registry", timeout_s=timeout_s)

    @property
    def url(self) -> str:
        """Where it is called."""
        return self._api.url

    def register(self, document: RegistrationDocument) -> InstanceDocument:
        """Registers an instance."""
        answer = self._api.call("POST", "/register", body=document)
        return self._api.document(InstanceDocument, answer)

    def renew(self, service: str, instance: str, condition: ConditionDocument) -> InstanceDocument | None:
        """Sends a heartbeat; None where the instance is not registered, so that it must be again."""
        path = f"{_instance(service, instance)}/heartbeat"
        answer = self._api.call("POST", path, body=condition, may_lack=True)
        return None if answer is None else self._api.document(InstanceDocument, answer)

    def change(self, service: str, instance: str, condition: ConditionDocument) -> InstanceDocument | None:
        """Says how an instance is; None where it is not registered."""
        answer = self._api.call("PATCH", _instance(service, instance), body=condition, may_lack=True)
        return None if answer is None else self._api.document(InstanceDocument, answer)

    def deregister(self, service: str, instance: str) -> None:
        """Removes an instance, if it is registered."""
        self._api.call("DELETE", _instance(service, instance), may_lack=True)

    def endpoint(
        self, service: str, question: EndpointQuestion, place: Coordinates | None
    ) -> InstanceDocument | None:
        """An instance of a service; None where none is up."""
        query = {**question.model_dump(exclude_none=True), **_place(place)}
        answer = self._api.call("GET", f"{_service(service)}/endpoint", query=query, may_lack=True)
        return None if answer is None else self._api.document(InstanceDocument, answer)

    def endpoints(self, service: str, place: Coordinates | None) -> Sequence[InstanceDocument]:
        """All instances of a service, the closest one first."""
        path = f"{_service(service)}/endpoints"
        answer = self._api.call("GET", path, query=_place(place), may_lack=True)
        return () if answer is None else self._api.document(InstancesDocument, answer).instances

    def report(self, locations: LocationsDocument) -> int:
        """Counts requests from many places; returns how many."""
        answer = self._api.call("POST", "/location/requests", body=locations)
        return self._api.document(CountedDocument, answer).counted

    def age_s(self) -> float:
        """Seconds since the registry last heard of the broker; many where what it knows may be old."""
        return self._api.document(HealthDocument, self._api.call("GET", "/healthz")).age_s

    def close(self) -> None:
        """Closes its connections."""
        self._api.close()


def _place(place: Coordinates | None) -> dict[str, float]:
    return {} if place is None else {"latitude": place.latitude, "longitude": place.longitude}


def _service(service: str) -> str:
    return f"/services/{quote(service, safe='')}"


def _instance(service: str, instance: str) -> str:
    return f"{_service(service)}/instances/{quote(instance, safe='')}"
