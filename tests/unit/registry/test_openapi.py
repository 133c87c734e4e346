"""The OpenAPI document says what the API does: every path and status is asked for, and held against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from openapi_spec_validator import validate
from registrations import registration
from registry_server import TOKEN, S, Served, serving

from microservo.runtime.openapi import openapi_text
from services.registry.openapi import DOCUMENT
from services.registry.operations import API

CART = {"service": "cart", "instance": "cart-1", "endpoint": "http://127.0.0.1:9000"}
ROW = {"service": "cart", "latitude": 1.5, "longitude": 2.5, "count": 3}
INSTANCE = "/services/cart/instances/cart-1"
BERLIN = "/services/berlin/instances/berlin-1"
TOO_LARGE = "x" * (4 * 1024 * 1024 + 1)

CALLS: list[tuple[str, str, Any, int]] = [
    ("POST", "/register", CART, 201),
    ("POST", "/register", {**CART, "latitude": 5}, 422),
    ("POST", "/register", TOO_LARGE, 413),
    ("GET", "/services", None, 200),
    ("POST", f"{INSTANCE}/heartbeat", {"load": 0.5}, 200),
    ("POST", f"{INSTANCE}/heartbeat", None, 200),
    ("POST", f"{INSTANCE}/heartbeat", {"load": -1}, 422),
    ("POST", f"{INSTANCE}/heartbeat", TOO_LARGE, 413),
    ("POST", "/services/cart/instances/nobody/heartbeat", {}, 404),
    ("POST", f"{BERLIN}/heartbeat", {}, 409),
    ("PATCH", INSTANCE, {"healthy": True}, 200),
    ("PATCH", INSTANCE, {"healthy": "?"}, 422),
    ("PATCH", INSTANCE, TOO_LARGE, 413),
    ("PATCH", "/services/cart/instances/nobody", {}, 404),
    ("PATCH", BERLIN, {}, 409),
    ("GET", "/services/cart/endpoint", None, 200),
    ("GET", "/services/cart/endpoint?among=3&by=load&latitude=1&longitude=2", None, 200),
    ("GET", "/services/cart/endpoint?distance=0.5&factor=3", None, 200),
    ("GET", "/services/cart/endpoint?among=0", None, 422),
    ("GET", "/services/nobody/endpoint", None, 404),
    ("GET", "/services/cart/endpoints?latitude=1&longitude=2", None, 200),
    ("GET", "/services/cart/endpoints?latitude=1", None, 422),
    ("GET", "/services/nobody/endpoints", None, 404),
    ("POST", "/metrics", ROW, 200),
    ("POST", "/metrics", {"service": "cart"}, 200),
    ("POST", "/metrics", {**ROW, "count": 0}, 422),
    ("POST", "/metrics", TOO_LARGE, 413),
    ("POST", "/location/requests", [ROW, ROW], 200),
    ("POST", "/location/requests", ROW, 422),
    ("POST", "/location/requests", TOO_LARGE, 413),
    ("GET", "/location/requests", None, 200),
    ("GET", "/location/requests?aggregation=true&interval=60000", None, 200),
    ("GET", "/location/requests?limit=0", None, 422),
    ("GET", "/healthz", None, 200),
    ("DELETE", "/services/cart/instances/nobody", None, 404),
    ("DELETE", BERLIN, None, 409),
    ("DELETE", "/services/cart/instances/%20", None, 422),
    ("DELETE", INSTANCE, None, 204),
]


@pytest.fixture(scope="module")
def api() -> OpenAPI:
    return OpenAPI.from_file_path(str(DOCUMENT))


@pytest.fixture
def served() -> Iterator[Served]:
    """A registry with an instance of its own, and one that keeps in touch with another registry."""
    with serving() as found:
        berlin = registration("berlin-1", service="berlin", registry="asia")
        found.registry.observe([(berlin.registration_id, berlin)])
        yield found


def asked(served: Served, method: str, path: str, body: Any, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(
            method,
            served.url + path,
            data=body if isinstance(body, str | None) else json.dumps(body),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers},
            timeout=30,
        )


def check(api: OpenAPI, answer: requests.Response) -> None:
    """Holds an answer against the document, and its request too where it was not refused."""
    request = RequestsOpenAPIRequest(answer.request)
    api.validate_response(request, RequestsOpenAPIResponse(answer))
    if answer.ok:
        api.validate_request(request)


def test_the_document_is_generated_from_the_operations() -> None:
    assert DOCUMENT.read_text("ascii") == openapi_text(API), "run `python -m services.registry.openapi`"


def test_the_document_is_valid() -> None:
    validate(json.loads(openapi_text(API)))


def test_every_path_answers_as_the_document_says(api: OpenAPI, served: Served) -> None:
    for method, path, body, status in CALLS:
        answer = asked(served, method, path, body)
        assert answer.status_code == status, (method, path, answer.text)
        check(api, answer)


def test_every_refusal_of_strangers_is_as_the_document_says(api: OpenAPI, served: Served) -> None:
    for method, path, body, _ in CALLS:
        if path != "/healthz":
            answer = asked(served, method, path, None if body == TOO_LARGE else body, Authorization="no")
            assert answer.status_code == 401
            check(api, answer)
        answer = asked(served, method, path, None, Host="evil.example")
        assert answer.status_code == 403
        api.validate_response(
            RequestsOpenAPIRequest(requests.Request(method, served.url + path).prepare()),
            RequestsOpenAPIResponse(answer),
        )


def test_every_status_of_every_operation_is_asked_for() -> None:
    document = json.loads(openapi_text(API))
    promised = {
        (method.upper(), path, int(status))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
        if status not in ("401", "403")
    }
    asked_for = {(method, template(document, path), status) for method, path, _, status in CALLS}
    # A name or a query that can't be is refused by one piece of code for all.
    assert {each for each in promised - asked_for if each[2] != 422} == set()
    assert asked_for <= promised


def template(document: dict[str, Any], path: str) -> str:
    """The path of the document that a called one is of."""
    steps = path.partition("?")[0].split("/")
    for each in document["paths"]:
        parts = each.split("/")
        if len(parts) == len(steps) and all(
            part == step or part.startswith("{") for part, step in zip(parts, steps, strict=True)
        ):
            return str(each)
    raise AssertionError(path)


def test_silence_of_the_broker_is_a_number_in_a_header(api: OpenAPI, served: Served) -> None:
    served.clock.advance(5 * S)
    answer = asked(served, "GET", "/services", None)
    assert float(answer.headers["X-Registry-Age"]) == 5.0
    check(api, answer)
