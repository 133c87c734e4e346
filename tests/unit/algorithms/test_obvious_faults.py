"""What shipped detectors do at their own thresholds where a service of the sample is slow, or fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import pytest

from microservo.algorithms import resolve
from microservo.algorithms.detecting import Detecting
from microservo.algorithms.sample import Sample
from microservo.algorithms.unfenced import unfenced_session
from microservo.domain.alarms import AlarmDecider, Calibration, Decision
from microservo.domain.system_rows import SystemRows
from schemas.records import FeatureWindow

SERVICES = ("cartservice", "currencyservice", "frontend")
ODD_WINDOWS = 8
SOON = 3

Features = Mapping[str, float]
Change = Callable[[str, float, Features], float]


def slow(name: str, value: float, features: Features) -> float:
    """A feature as it would be if requests took ten times as long."""
    group, _, statistic = name.rpartition("/")
    is_of_requests = group.startswith("request/") and statistic.endswith("_ms")
    is_gauge = group.startswith("metric/network.request.duration") or group == "metric/http.server.duration"
    return 10 * value if is_of_requests or (is_gauge and statistic not in ("age_s", "count")) else value


def failing(name: str, value: float, features: Features) -> float:
    """A feature as it would be if all requests failed, and each said so in the log."""
    group, _, statistic = name.rpartition("/")
    requests = features.get("request/*/count", 0.0)
    if group.startswith("request/") and statistic == "error_share":
        return 1.0 if features.get(f"{group}/count") else value
    if name == "log/severity/error":
        return value + requests
    is_rate = group in ("metric/network.responses.5xx", "metric/http.server.request.errors.rate")
    return value + requests / 5 if is_rate and statistic not in ("age_s", "count") else value


def changed(window: FeatureWindow, change: Change) -> FeatureWindow:
    features = dict(zip(window.names, window.values, strict=True))
    return replace(window, values=tuple(change(name, value, features) for name, value in features.items()))


@cache
def sample() -> Sample:
    return Sample.read()


def odd_from_us() -> int:
    """Where the last windows of the fault-free time begin, which are made odd."""
    until_us, window_us = sample().fault_free_until_us, sample().window_us
    last_us = max(each.start_us for each in sample().windows if each.end_us <= until_us)
    return last_us - (ODD_WINDOWS - 1) * window_us


def unchanged(_name: str, value: float, _features: Features) -> float:
    return value


@cache
def detected(kind: str, change: Change, service: str) -> list[Decision]:
    """What a detector says of the fault-free time where the end of it is odd in one service."""
    until_us, window_us = sample().fault_free_until_us, sample().window_us
    windows = [
        changed(each, change) if each.service == service and each.start_us >= odd_from_us() else each
        for each in sample().windows
        if each.end_us <= until_us
    ]
    decider = AlarmDecider(
        kind, calibration=Calibration(window_us=window_us), fault_free_until_us=odd_from_us()
    )
    with unfenced_session(resolve(kind)) as session:
        session.open()
        detecting = Detecting(session, decider, SystemRows(1000 * window_us))
        _, decisions = detecting.take([(each, 0) for each in windows])
    return [*decisions, *decider.advance(until_us)]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        *((kind, failing) for kind in ("n-sigma", "robust-z", "log-surprise", "trace-deviation")),
        *((kind, slow) for kind in ("n-sigma", "robust-z", "trace-deviation")),
    ],
)
def test_a_service_that_is_ten_times_as_slow_or_fails_raises_an_alarm_soon(
    kind: str, change: Change, service: str
) -> None:
    decisions = detected(kind, change, service)
    opened = {each.alarm.service: each.alarm.opened_us for each in reversed(decisions)}
    false = {each.alarm.service for each in detected(kind, unchanged, SERVICES[0])}
    assert set(opened) - false == {service}
    assert opened[service] <= odd_from_us() + SOON * sample().window_us
