from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from registry_server import TOKEN, S, Served, serving

CART = {"service": "cart", "instance": "cart-1", "endpoint": "http://127.0.0.1:9000"}
TOKYO = {"latitude": 35.68, "longitude": 139.69}
Answer = tuple[int, Any, http.client.HTTPMessage]


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


def call(
    served: Served,
    method: str,
    path: str,
    body: object = None,
    *,
    headers: dict[str, str] | None = None,
    token: str = TOKEN,
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    try:
        text = body if isinstance(body, str | bytes | None) else json.dumps(body)
        connection.request(method, path, text, {"Authorization": f"Bearer {token}", **(headers or {})})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None, answer.headers
    finally:
        connection.close()


def register(served: Served, instance: str = "cart-1", **fields: object) -> None:
    status, answer, _ = call(served, "POST", "/register", {**CART, "instance": instance, **fields})
    assert status == 201, answer


def test_what_is_registered_is_given_out(served: Served) -> None:
    register(served, load=0.25, metadata={"version": "2"})
    status, found, headers = call(served, "GET", "/services/cart/endpoint")
    assert status == 200
    assert (found["instanceId"], found["endpoint"]) == ("cart-1", "http://127.0.0.1:9000")
    assert (found["state"], found["load"], found["metadata"]) == ("up", 0.25, {"version": "2"})
    assert (found["region"], found["registry"], found["distance_km"]) == ("Europe", "europe", 0)
    assert headers["X-Registry-Age"] == "0.0"


def test_the_instance_id_is_made_of_service_and_endpoint_where_none_is_given(served: Served) -> None:
    body = {"service": "cart", "endpoint": "127.0.0.1:9000"}
    ids = [call(served, "POST", "/register", body)[1]["instanceId"] for _ in range(2)]
    assert ids == [hashlib.sha1(b"cart_127.0.0.1:9000", usedforsecurity=False).hexdigest()] * 2
    assert call(served, "GET", "/services")[1] == {"services": {"cart": 1, "registry": 1}}


def test_the_place_of_who_asks_is_in_the_query_or_in_headers_or_that_of_the_registry(served: Served) -> None:
    register(served, "near")
    register(served, "far", **TOKYO)

    def asked(query: str = "", headers: dict[str, str] | None = None) -> str:
        _, found, _ = call(served, "GET", f"/services/cart/endpoint{query}", headers=headers)
        return str(found["instanceId"])

    in_asia = {"X-Latitude": "34.7", "X-Longitude": "135.5"}
    assert asked() == "near"
    assert asked("?latitude=34.7&longitude=135.5") == "far"
    assert asked(headers=in_asia) == "far"
    assert asked("?latitude=0&longitude=0", in_asia) == "near", "the query counts more"
    assert asked(headers={"X-Latitude": "", "X-Longitude": ""}) == "near"
    unknown_to_usmanager = {"X-Latitude": "-1", "X-Longitude": "-1"}
    assert asked(headers=unknown_to_usmanager) == "near"


def test_all_endpoints_are_listed_with_their_states_the_closest_first(served: Served) -> None:
    register(served, "far", **TOKYO)
    register(served, "sick", healthy=False)
    register(served, "leaving", draining=True, latitude=48.0, longitude=9.0)
    _, found, _ = call(served, "GET", "/services/cart/endpoints")
    listed = [(each["instanceId"], each["state"]) for each in found["instances"]]
    assert listed == [("sick", "unhealthy"), ("leaving", "draining"), ("far", "up")]


def test_a_service_without_an_instance_is_not_found_but_was_asked_for(served: Served) -> None:
    for path in ("/services/cart/endpoint", "/services/cart/endpoints"):
        status, answer, _ = call(served, "GET", path)
        assert status == 404
        assert answer["error"].startswith("no instance of 'cart' is ")
    _, found, _ = call(served, "GET", "/location/requests?aggregation")
    assert found["services"]["cart"] == [{"latitude": 49.5, "longitude": 9.9, "count": 1}]


def test_a_heartbeat_says_how_the_instance_is_and_of_an_unknown_one_404(served: Served) -> None:
    register(served)
    path = "/services/cart/instances/cart-1"
    assert call(served, "POST", f"{path}/heartbeat")[0] == 200
    assert call(served, "POST", f"{path}/heartbeat", {"load": 0.75})[1]["load"] == 0.75
    assert call(served, "PATCH", path, {"draining": True})[1]["state"] == "draining"
    assert call(served, "GET", "/services/cart/endpoint")[0] == 404
    assert call(served, "PATCH", path, {"draining": False})[1]["state"] == "up"
    assert call(served, "DELETE", path)[0] == 204
    status, answer, _ = call(served, "POST", f"{path}/heartbeat")
    assert (status, answer) == (404, {"error": "there is no instance 'cart/cart-1'; register it"})


def test_a_change_is_no_heartbeat(served: Served) -> None:
    register(served)
    served.clock.advance(3 * S)
    call(served, "PATCH", "/services/cart/instances/cart-1", {"load": 0.5})
    served.clock.advance(2 * S)
    assert served.registry.advance() == ["cart/cart-1"]


def test_asking_counts_where_requests_come_from(served: Served) -> None:
    register(served)
    for _ in range(3):
        call(served, "GET", "/services/cart/endpoint?latitude=52.5&longitude=13.4")
    call(served, "POST", "/metrics", {"service": "cart", "latitude": 52.5, "longitude": 13.4, "count": 7})
    _, found, _ = call(served, "GET", "/location/requests?aggregation&interval=60000")
    assert found == {
        "interval_ms": 60_000,
        "services": {"cart": [{"latitude": 52.5, "longitude": 13.4, "count": 10}]},
    }
    served.clock.advance(1 * S)
    served.registry.advance()
    (record,) = served.registry.outgoing().locations
    assert (record.service, record.latitudes, record.counts) == ("cart", (52.5,), (10,))


def test_ten_thousand_locations_in_one_request_are_counted_as_often_as_each_says(served: Served) -> None:
    rows = [
        {"service": "cart", "latitude": row % 90, "longitude": row % 180, "count": 3} for row in range(10_000)
    ]
    assert call(served, "POST", "/location/requests", rows)[:2] == (200, {"counted": 30_000})
    _, found, _ = call(served, "GET", "/location/requests?aggregation=true")
    assert sum(each["count"] for each in found["services"]["cart"]) == 30_000
    status, raw, _ = call(served, "GET", "/location/requests?limit=10")
    assert (status, len(raw["requests"])) == (200, 10)
    status, answer, _ = call(served, "POST", "/location/requests", rows * 3)
    assert status == 422
    assert "at most 20000 items" in answer["error"]


def test_old_requests_are_not_in_the_window(served: Served) -> None:
    call(served, "POST", "/metrics", {"service": "cart", "latitude": 0, "longitude": 0})
    served.clock.advance(1 * S)
    served.registry.advance()
    served.clock.advance(10 * S)
    served.registry.advance()
    assert call(served, "GET", "/location/requests?aggregation&interval=5000")[1]["services"] == {}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/services/cart/endpoint?among=0", "among: expected greater than or equal to 1, got '0'"),
        ("/services/cart/endpoint?among=2&distance=5", "give one of them"),
        (
            "/services/cart/endpoint?distance=-3",
            "distance: expected greater than or equal to 0.001",
        ),
        ("/services/cart/endpoint?distance=nan", "distance: expected"),
        ("/services/cart/endpoint?distance=5&factor=1", "factor: expected greater than or equal to 1.1"),
        ("/services/cart/endpoint?by=price", "by: expected 'distance' or 'load', got 'price'"),
        ("/services/cart/endpoint?latitude=5", "expected latitude and longitude, or neither"),
        ("/services/cart/endpoint?latitude=95&longitude=0", "latitude: expected less than or equal to 90"),
        ("/services/cart/endpoint?number=3", "number: this is no known key"),
        ("/services/cart/endpoint?among=2&among=3", "among is given 2 times; give it once"),
        ("/services/%20/endpoint", "the service ' ' can't be; expected 1 to 200 letters"),
        ("/location/requests?aggregation&interval=0", "interval: expected greater than or equal to 1000"),
        ("/location/requests?limit=1000000", "limit: expected less than or equal to 10000"),
    ],
)
def test_a_question_that_can_not_be_is_refused_with_what_is_expected(
    served: Served, path: str, error: str
) -> None:
    status, answer, _ = call(served, "GET", path)
    assert status == 422
    assert error in answer["error"]


@pytest.mark.parametrize(
    "endpoint", ["cart:1", "[2601:547::172f]:9000", "https://cart/api", "http://[::1]:8080"]
)
def test_an_endpoint_is_a_url_or_a_host_with_a_port(served: Served, endpoint: str) -> None:
    status, answer, _ = call(served, "POST", "/register", {**CART, "endpoint": endpoint})
    assert (status, answer["endpoint"]) == (201, endpoint)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"service": "a/b"}, "service: "),
        ({"service": "registry"}, "the service 'registry' is that of the registries themselves"),
        ({"endpoint": "http://127.0.0.1:9000 x"}, "endpoint: "),
        ({"endpoint": "0.0.0.0:9000"}, "0.0.0.0 is where it listens; give the address by which others"),
        ({"endpoint": "http://[::]:9000"}, ":: is where it listens; give the address by which others"),
        ({"endpoint": "2601:547::172f:9000"}, "expected a URL, or host:port with a port from 1 to 65535"),
        ({"endpoint": "cart"}, "expected a URL, or host:port"),
        ({"endpoint": ":9000"}, "expected a URL, or host:port"),
        ({"endpoint": "http://"}, "expected a URL, or host:port"),
        ({"endpoint": "cart:0"}, "expected a URL, or host:port"),
        ({"endpoint": "cart:70000"}, "expected a URL, or host:port"),
        ({"latitude": 5}, "expected latitude and longitude, or neither"),
        ({"latitude": 5, "longitude": 181}, "longitude: expected less than or equal to 180, got 181"),
        ({"load": -1}, "load: expected greater than or equal to 0, got -1"),
        ({"pid": 0}, "pid: expected greater than or equal to 1"),
        ({"health_url": "http://10.0.0.1/"}, "expected http:// at the host of the endpoint"),
        ({"health_url": "file:///etc/passwd"}, "expected http:// at the host of the endpoint"),
        ({"health_url": "http://127.0.0.1@10.0.0.1/"}, "expected http:// at the host of the endpoint"),
        ({"metadata": {str(number): "" for number in range(33)}}, "metadata: "),
        ({"ttl": 3}, "ttl: this is no known key"),
    ],
)
def test_a_registration_that_can_not_be_is_refused(
    served: Served, fields: dict[str, object], error: str
) -> None:
    status, answer, _ = call(served, "POST", "/register", {**CART, **fields})
    assert status == 422
    assert error in answer["error"]
    assert call(served, "GET", "/services")[1] == {"services": {"registry": 1}}


@pytest.mark.parametrize("body", ["", "{", "[]", b"\xff", '{"service": NaN}', "[" * 100_000])
def test_what_is_no_json_object_is_refused(served: Served, body: str | bytes) -> None:
    status, answer, _ = call(served, "POST", "/register", body)
    assert status == 422
    assert answer["error"]


def test_a_body_that_is_too_large_is_refused(served: Served) -> None:
    status, answer, _ = call(served, "POST", "/register", "x" * (4 * 1024 * 1024 + 1))
    assert status == 413
    assert "larger than 4194304 bytes" in answer["error"]


def test_without_the_token_nothing_is_answered_but_health(served: Served) -> None:
    for method, path in (("GET", "/services"), ("POST", "/metrics"), ("DELETE", "/services/a/instances/b")):
        status, answer, _ = call(served, method, path, token="wrong")
        assert (status, "token" in answer["error"]) == (401, True), path
    assert call(served, "GET", "/healthz", token="")[:2] == (200, {"status": "ok", "age_s": 0})


def test_a_page_of_another_host_gets_nothing(served: Served) -> None:
    assert call(served, "GET", "/healthz", headers={"Host": "evil.example"})[0] == 403


def test_what_is_not_there_is_said_in_json(served: Served) -> None:
    assert call(served, "GET", "/nothing")[:2] == (404, {"error": "GET /nothing: Not Found"})
    assert call(served, "PUT", "/register")[:2] == (405, {"error": "PUT /register: Method Not Allowed"})


def test_how_old_the_knowledge_is_is_said(served: Served) -> None:
    served.clock.advance(90 * S)
    assert call(served, "GET", "/services")[2]["X-Registry-Age"] == "90.0"
