from __future__ import annotations

import http.client
import urllib.error
import urllib.request

import pytest

from microservo.adapters.ports import free_ports
from microservo.runtime.health import HealthServer
from microservo.runtime.metrics import WINDOWS_TOTAL


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_healthz_says_whether_the_process_is_well() -> None:
    well = [True]
    with HealthServer(0, lambda: well[0]) as server:
        assert get(server.port, "/healthz")[0] == 200
        well[0] = False
        assert get(server.port, "/healthz")[0] == 503
        assert get(server.port, "/elsewhere")[0] == 404


def test_metrics_are_given_in_prometheus_text() -> None:
    WINDOWS_TOTAL.labels("0").inc()
    with HealthServer(0, lambda: True) as server:
        status, text = get(server.port, "/metrics")
    assert status == 200
    assert 'microservo_windows_total{revision="0"}' in text


def test_a_closed_server_listens_no_more_and_can_be_closed_again() -> None:
    # Not a port of the kernel's choice: that might go to somebody else once it is free.
    server = HealthServer(free_ports(1)[0], lambda: True)
    get(server.port, "/healthz")
    server.close()
    server.close()
    with pytest.raises(urllib.error.URLError):
        get(server.port, "/healthz")
    HealthServer(server.port, lambda: True).close()


def test_a_web_page_that_reaches_the_loopback_by_a_name_of_its_own_is_refused() -> None:
    with HealthServer(0, lambda: True) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("GET", "/metrics", headers={"Host": f"evil.example:{server.port}"})
        assert connection.getresponse().status == 403
        connection.close()
