"""The HTTP API of a registry, as its clients call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from pydantic import ValidationError

from microservo.domain.documents import Document, ErrorDocument, problem
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
from microservo.errors import InvalidInput, Retryable

D = TypeVar("D", bound=Document)

TIMEOUT_S = 2.0
_FROM_SERVER_ERROR = 500
_NOT_FOUND = 404


class RegistryApi:
    """Calls one registry; may be used by several threads: there are no cookies, and the rest of a session is.

    Args:
        url: of the registry, for example http://127.0.0.1:8761.
        token: what it asks for; empty for none.
        timeout_s: how long each step of an answer may take.

    Every call raises:
        InvalidInput: the registry refuses what is asked.
        Retryable: it does not answer, or can't for now.
    """

    def __init__(self, url: str, token: str = "", *, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        # The proxies of the user's shell lead elsewhere.
        self._session.trust_env = False
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def register(self, document: RegistrationDocument) -> InstanceDocument:
        """Registers an instance."""
        answer = self._call("POST", "/register", body=document)
        return _document(InstanceDocument, answer)

    def renew(self, service: str, instance: str, condition: ConditionDocument) -> InstanceDocument | None:
        """Sends a heartbeat; None where the instance is not registered, so that it must be again."""
        path = f"{_instance(service, instance)}/heartbeat"
        answer = self._call("POST", path, body=condition, may_lack=True)
        return None if answer is None else _document(InstanceDocument, answer)

    def change(self, service: str, instance: str, condition: ConditionDocument) -> InstanceDocument | None:
        """Says how an instance is; None where it is not registered."""
        answer = self._call("PATCH", _instance(service, instance), body=condition, may_lack=True)
        return None if answer is None else _document(InstanceDocument, answer)

    def deregister(self, service: str, instance: str) -> None:
        """Removes an instance, if it is registered."""
        self._call("DELETE", _instance(service, instance), may_lack=True)

    def endpoint(
        self, service: str, question: EndpointQuestion, place: Coordinates | None
    ) -> InstanceDocument | None:
        """An instance of a service; None where none is up."""
        query = {**question.model_dump(exclude_none=True), **_place(place)}
        answer = self._call("GET", f"{_service(service)}/endpoint", query=query, may_lack=True)
        return None if answer is None else _document(InstanceDocument, answer)

    def endpoints(self, service: str, place: Coordinates | None) -> Sequence[InstanceDocument]:
        """All instances of a service, the closest one first."""
        path = f"{_service(service)}/endpoints"
        answer = self._call("GET", path, query=_place(place), may_lack=True)
        return () if answer is None else _document(InstancesDocument, answer).instances

    def report(self, locations: LocationsDocument) -> int:
        """Counts requests from many places; returns how many."""
        answer = self._call("POST", "/location/requests", body=locations)
        return _document(CountedDocument, answer).counted

    def age_s(self) -> float:
        """Seconds since the registry last heard of the broker; many where what it knows may be old."""
        return _document(HealthDocument, self._call("GET", "/healthz")).age_s

    def close(self) -> None:
        """Closes its connections."""
        self._session.close()

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Document | LocationsDocument | None = None,
        may_lack: bool = False,
    ) -> bytes | None:
        """The body of the answer; None for a 404 where `may_lack`."""
        data = None if body is None else body.model_dump_json(exclude_none=True)
        try:
            answer = self._session.request(
                method,
                self.url + path,
                params=query,
                data=data,
                headers={"Content-Type": "application/json"} if data is not None else None,
                timeout=self._timeout_s,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            msg = f"the registry {self.url} does not answer: {error}"
            raise Retryable(msg) from error
        if may_lack and answer.status_code == _NOT_FOUND:
            return None
        if not answer.ok or answer.is_redirect:
            raise self._refusal(answer)
        return answer.content

    def _refusal(self, answer: requests.Response) -> InvalidInput | Retryable:
        try:
            reason = ErrorDocument.model_validate_json(answer.content).error
        except ValidationError:
            reason = f"it answers {answer.status_code} {answer.reason}"
        msg = f"the registry {self.url} refuses: {reason}"
        return Retryable(msg) if answer.status_code >= _FROM_SERVER_ERROR else InvalidInput(msg)


def _document(kind: type[D], answer: bytes | None) -> D:
    try:
        return kind.model_validate_json(answer or b"")
    except ValidationError as error:
        msg = f"what answers is no registry of this version: {problem(error)}"
        raise InvalidInput(msg) from error


def _place(place: Coordinates | None) -> dict[str, float]:
    return {} if place is None else {"latitude": place.latitude, "longitude": place.longitude}


def _service(service: str) -> str:
    return f"/services/{quote(service, safe='')}"


def _instance(service: str, instance: str) -> str:
    return f"{_service(service)}/instances/{quote(instance, safe='')}"
