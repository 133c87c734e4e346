"""What the meter makes of a sidecar's page: telemetry of the service."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from microservo.adapters.ports import free_ports
from microservo.platforms.local.network_meter import NetworkMeter
from tests.unit.sidecar.harness import Sidecar
from tests.unit.sidecar.test_proxy import Caller, get


@pytest.fixture
def read(sidecar: Sidecar) -> Callable[[], dict[str, float]]:
    """Reads the sidecar as one second after the reading before."""
    seconds = itertools.count(1)
    meter = NetworkMeter(lambda: float(next(seconds)))
    return lambda: meter.read({"cart-0": f"http://127.0.0.1:{sidecar.admin_port}"})["cart-0"]


def test_the_first_reading_has_levels_and_the_next_ones_rates_and_durations(
    caller: Caller, read: Callable[[], dict[str, float]]
) -> None:
    assert read() == {"network.connections.open": 1, "network.requests.active": 0}
    for _ in range(3):
        get(caller, "/bytes/1000")
    second = read()
    assert second["network.requests.count"] == 3
    assert second["network.io.transmit_bytes"] > 3000
    assert 0 < second["network.io.receive_bytes"] < 1000
    assert second["network.connections.accepted"] == second["network.connections.reset"] == 0
    assert second["network.responses.5xx"] == second["network.connections.refused"] == 0
    assert 0 < second["network.request.duration.p50"] <= second["network.request.duration.p99"] < 10_000
    third = read()
    assert third["network.requests.count"] == 0
    assert "network.request.duration.p50" not in third, "nothing was answered"


def test_durations_are_those_of_the_last_interval(
    sidecar: Sidecar, caller: Caller, read: Callable[[], dict[str, float]]
) -> None:
    get(caller, "/")
    read()
    sidecar.apply("network-delay", latency_us=80_000, jitter_us=0)
    for _ in range(4):
        get(caller, "/")
    assert read()["network.request.duration.p50"] > 80
    sidecar.recover()
    for _ in range(4):
        get(caller, "/")
    assert read()["network.request.duration.p50"] < 80


def test_no_metric_names_a_fault(
    sidecar: Sidecar, caller: Caller, read: Callable[[], dict[str, float]]
) -> None:
    read()
    get(caller, "/")
    calm = set(read())
    sidecar.apply("network-delay", latency_us=1000, jitter_us=0)
    get(caller, "/")
    assert set(read()) == calm


def test_a_sidecar_that_does_not_answer_is_left_out() -> None:
    meter = NetworkMeter(lambda: 0.0)
    assert meter.read({"cart-0": f"http://127.0.0.1:{free_ports(1)[0]}"}) == {}
