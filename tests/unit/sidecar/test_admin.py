from __future__ import annotations

import http.client
import json
import socket

import pytest

from microservo.platforms.local.control import MAX_BODY_BYTES
from services.sidecar.settings import SidecarSettings
from tests.unit.sidecar.harness import PATIENCE_S, TOKEN, Sidecar

DELAY = {"kind": "network-delay", "parameters": {"latency_us": 1000, "jitter_us": 0}}


def put(sidecar: Sidecar, body: object, fault_id: str = "f1") -> tuple[int, dict[str, object]]:
    return sidecar.admin("PUT", f"/faults/{fault_id}", json.dumps(body))


def test_a_fault_is_applied_listed_and_recovered(sidecar: Sidecar) -> None:
    status, applied = put(sidecar, DELAY)
    assert (status, applied["applied_at_us"]) == (200, 1_000_000)
    assert "in force" in str(applied["evidence"])
    listed = {"faults": [{"id": "f1", **DELAY, "applied_at_us": 1_000_000, "acted": 0}]}
    assert sidecar.admin("GET", "/faults") == (200, listed)
    status, recovered = sidecar.admin("DELETE", "/faults/f1")
    assert (status, recovered["recovered_at_us"]) == (200, 1_000_000)
    assert sidecar.admin("GET", "/faults") == (200, {"faults": []})


def test_the_same_request_twice_is_one_fault(sidecar: Sidecar) -> None:
    assert put(sidecar, DELAY)[0] == put(sidecar, DELAY)[0] == 200
    assert len(sidecar.proxy.faults) == 1


def test_another_fault_of_the_same_id_is_a_conflict(sidecar: Sidecar) -> None:
    put(sidecar, DELAY)
    status, answer = put(sidecar, {"kind": "network-loss", "parameters": {"ratio": 0.1}})
    assert status == 409
    assert "remove it first" in str(answer["error"])


@pytest.mark.parametrize(
    "body",
    [
        "not json",
        "[]",
        '{"kind": "network-delay"}',
        '{"kind": 3, "parameters": {}}',
        '{"kind": "network-loss", "parameters": {"ratio": 7}}',
    ],
)
def test_a_bad_request_is_refused_and_nothing_is_touched(sidecar: Sidecar, body: str) -> None:
    status, answer = sidecar.admin("PUT", "/faults/f1", body)
    assert status == 422
    assert answer["error"]
    assert len(sidecar.proxy.faults) == 0


def test_ending_a_fault_that_is_not_there_is_no_error(sidecar: Sidecar) -> None:
    status, answer = sidecar.admin("DELETE", "/faults/f9")
    assert (status, answer["evidence"]) == (200, "was not active")
    assert answer["within_us"] is None, "when it ceased to be active was not measured"


def test_an_answer_says_how_exact_it_is_and_what_was_acted_on(sidecar: Sidecar) -> None:
    assert put(sidecar, DELAY)[1]["acted"] == 0
    _, recovered = sidecar.admin("DELETE", "/faults/f1")
    assert recovered["within_us"] == 0, "this clock stands still"
    assert (recovered["acted"], "acted on 0 segments" in str(recovered["evidence"])) == (0, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/faults", 405),
        ("GET", "/faults/f1", 405),
        ("GET", "/healthz", 200),
    ],
)
def test_routes(sidecar: Sidecar, method: str, path: str, status: int) -> None:
    assert sidecar.admin(method, path)[0] == status


def test_metrics_are_prometheus_text(sidecar: Sidecar, caller: http.client.HTTPConnection) -> None:
    caller.request("GET", "/")
    assert caller.getresponse().read() == b"/"
    _, page = sidecar.admin("GET", "/metrics")
    assert "# TYPE sidecar_requests_total counter\nsidecar_requests_total 2\n" in page
    assert "# TYPE sidecar_request_seconds histogram\nsidecar_request_seconds_bucket{le=" in page
    assert 'sidecar_request_seconds_bucket{le="+Inf"} 2\n' in page
    assert "fault" not in page


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (
            b"PUT /faults/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
            b"Content-Length: %d\r\n\r\n" % (TOKEN.encode(), MAX_BODY_BYTES + 1),
            b"413",
        ),
    ],
)
def test_what_is_no_request_ends_the_connection(sidecar: Sidecar, sent: bytes, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sidecar.admin_port), timeout=PATIENCE_S) as connection:
        connection.sendall(sent + (bytes(MAX_BODY_BYTES + 1) if status == b"413" else b""))
        assert connection.recv(1000).startswith(b"HTTP/1.1 " + status)


def test_settings_come_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--instance", "cart-0", "--listen", "1", "--upstream", "127.0.0.1:2", "--admin-port", "3"]
    settings = SidecarSettings.from_arguments(given, {"MICROSERVO_CONTROL_TOKEN": "a-secret"})
    assert settings.control_token == "a-secret"
    assert "a-secret" not in repr(settings)
    assert (settings.upstream_host, settings.upstream_port, settings.seed) == ("127.0.0.1", 2, 0)
    with pytest.raises(SystemExit, match="MICROSERVO_CONTROL_TOKEN is not set"):
        SidecarSettings.from_arguments(given, {})
    with pytest.raises(SystemExit):
        SidecarSettings.from_arguments(["--instance", "a", "--upstream", "nowhere"])
    assert "is not host:port" in capsys.readouterr().err


def test_a_recovery_that_is_asked_for_again_is_answered_with_the_instant_of_the_first(
    sidecar: Sidecar,
) -> None:
    put(sidecar, DELAY)
    first = sidecar.admin("DELETE", "/faults/f1")
    sidecar.pass_us(1_200_000)
    assert sidecar.admin("DELETE", "/faults/f1") == first
    # Applied anew, it also ends anew.
    assert put(sidecar, DELAY)[1]["applied_at_us"] == 2_200_000
    assert sidecar.admin("DELETE", "/faults/f1")[1]["recovered_at_us"] == 2_200_000


def test_a_fault_that_is_asked_for_again_is_answered_with_the_instant_of_the_first(sidecar: Sidecar) -> None:
    first = put(sidecar, DELAY)
    sidecar.pass_us(1_200_000)
    assert put(sidecar, DELAY) == first


@pytest.mark.parametrize("authorization", ["", "Bearer ", "Bearer another", f"Basic {TOKEN}"])
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/faults/f1"), ("DELETE", "/faults/f1"), ("GET", "/faults")]
)
def test_who_does_not_know_the_token_can_not_make_faults(
    sidecar: Sidecar, method: str, path: str, authorization: str
) -> None:
    body = json.dumps(DELAY)
    assert sidecar.admin(method, path, body, Authorization=authorization)[0] == 401
    assert len(sidecar.proxy.faults) == 0


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_web_page_that_names_its_own_host_for_the_loopback_can_not_make_faults(
    sidecar: Sidecar, host: str
) -> None:
    assert sidecar.admin("PUT", "/faults/f1", json.dumps(DELAY), Host=host)[0] == 403
    assert sidecar.admin("GET", "/healthz", Host=host)[0] == 403
    assert len(sidecar.proxy.faults) == 0


def test_health_and_metrics_need_no_token(sidecar: Sidecar) -> None:
    for page in ("/healthz", "/metrics"):
        assert sidecar.admin("GET", page, Authorization="")[0] == 200
