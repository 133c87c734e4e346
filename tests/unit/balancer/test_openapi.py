"""The OpenAPI document says what the API does: every path and status is asked for, and held against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from balancer_api import TOKEN, asked_at, new_balancer, served
from openapi_core import OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from openapi_spec_validator import validate

from microservo.runtime.openapi import openapi_text
from services.balancer.balancer import Balancer
from services.balancer.openapi import DOCUMENT
from services.balancer.operations import API

SERVER = {
    "server": "127.0.0.1:9000",
    "latitude": 0,
    "longitude": 0,
    "region": "Africa",
    "health_path": "/health",
}
CALLS: list[tuple[str, str, Any, int]] = [
    ("GET", "/servers", None, 200),
    ("POST", "/cart/servers", [SERVER, {"server": "[::1]:9000"}], 201),
    ("POST", "/cart/servers", [], 422),
    ("POST", "/cart/servers", SERVER, 422),
    ("POST", "/cart/servers", [{**SERVER, "server": "cart:80"}], 422),
    ("POST", "/cart/servers", [{"server": "127.0.0.1:80; }"}], 422),
    ("POST", "/cart/servers", [{**SERVER, "weight": 3}], 422),
    ("POST", "/_/servers", [SERVER], 422),
    ("POST", "/a;b/servers", [SERVER], 422),
    ("POST", "/cart%0A/servers", [SERVER], 422),
    ("POST", "/cart%0D%0Ainclude%20a/servers", [SERVER], 422),
    ("POST", "/cart/servers", [{**SERVER, "health_path": "/\n"}], 422),
    ("POST", "/cart/servers", "x" * (4 * 1024 * 1024 + 1), 413),
    ("GET", "/servers", None, 200),
    ("GET", "/cart/servers", None, 200),
    ("GET", "/nobody/servers", None, 404),
    ("DELETE", "/cart/servers/127.0.0.1:1", None, 404),
    ("DELETE", "/cart/servers/cart:1", None, 422),
    ("DELETE", "/cart/servers/999.0.0.1:1", None, 422),
    ("DELETE", "/nobody/servers/127.0.0.1:1", None, 404),
    ("DELETE", "/cart/servers/127.0.0.1:9000", None, 204),
    ("GET", "/healthz", None, 200),
]
UNSERVED: list[tuple[str, str, Any, int]] = [
    ("POST", "/cart/servers", [SERVER], 503),
    ("DELETE", "/cart/servers/127.0.0.1:9000", None, 503),
    ("GET", "/healthz", None, 200),
]


@pytest.fixture(scope="module")
def api() -> OpenAPI:
    return OpenAPI.from_file_path(str(DOCUMENT))


@pytest.fixture
def balancer(tmp_path: Path) -> Balancer:
    return new_balancer(tmp_path)


@pytest.fixture
def url(balancer: Balancer) -> Iterator[str]:
    with asked_at(balancer) as found:
        yield found


@pytest.fixture
def serving(balancer: Balancer) -> Iterator[None]:
    with served(balancer):
        yield


def asked(url: str, method: str, path: str, body: Any, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(
            method,
            url + path,
            data=body if isinstance(body, str | None) else json.dumps(body),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers},
            timeout=60,
        )


def check(api: OpenAPI, answer: requests.Response) -> None:
    request = RequestsOpenAPIRequest(answer.request)
    api.validate_response(request, RequestsOpenAPIResponse(answer))
    if answer.ok:
        api.validate_request(request)


def test_the_document_is_generated_from_the_operations_and_valid() -> None:
    assert DOCUMENT.read_text("ascii") == openapi_text(API), "run `python -m services.balancer.openapi`"
    validate(json.loads(openapi_text(API)))


@pytest.mark.usefixtures("serving")
def test_every_path_answers_as_the_document_says(api: OpenAPI, url: str) -> None:
    for method, path, body, status in CALLS:
        answer = asked(url, method, path, body)
        assert answer.status_code == status, (method, path, answer.text)
        check(api, answer)


@pytest.mark.usefixtures("serving")
def test_a_server_may_be_named_in_any_way_that_its_address_can_be_written(url: str) -> None:
    assert asked(url, "POST", "/cart/servers", [{"server": "[::1]:9000"}]).status_code == 201
    assert asked(url, "DELETE", "/cart/servers/%5B0:0::1%5D:9000", None).status_code == 204
    assert asked(url, "GET", "/servers", None).json() == {"services": {}}


def test_what_nginx_does_not_serve_in_time_is_said(
    api: OpenAPI, url: str, balancer: Balancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.balancer.balancer.SERVED_WITHIN_S", 0.05)
    for method, path, body, status in UNSERVED:
        answer = asked(url, method, path, body)
        assert answer.status_code == status, (method, path, answer.text)
        check(api, answer)
    assert answer.json()["status"] == "behind"
    assert balancer.services() == {}, "it is kept all the same"


def test_strangers_are_refused_as_the_document_says(api: OpenAPI, url: str) -> None:
    for method, path, body, _ in CALLS:
        if path != "/healthz":
            answer = asked(url, method, path, None if isinstance(body, str) else body, Authorization="no")
            assert answer.status_code == 401
            check(api, answer)
        assert asked(url, method, path, None, Host="evil.example").status_code == 403


def test_every_status_of_every_operation_is_asked_for() -> None:
    document = json.loads(openapi_text(API))
    promised = {
        (method.upper(), path, int(status))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
        if status not in ("401", "403", "422")
    }
    asked_for = {(method, template(path), status) for method, path, _, status in [*CALLS, *UNSERVED]}
    assert promised <= asked_for


def template(path: str) -> str:
    match path.strip("/").split("/"):
        case [_, "servers", _]:
            return "/{service}/servers/{server}"
        case [_, "servers"]:
            return "/{service}/servers"
    return path
