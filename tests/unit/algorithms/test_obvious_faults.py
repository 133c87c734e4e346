"""What shipped detectors do at their own thresholds when all requests of a service of the sample fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from microservo.algorithms import resolve
from microservo.algorithms.detecting import Detecting
from microservo.algorithms.sample import Sample
from microservo.algorithms.unfenced import unfenced_session
from microservo.domain.alarms import AlarmDecider, Calibration
from microservo.domain.system_rows import SystemRows
from schemas.records import FeatureWindow

SERVICE = "cartservice"
ODD_WINDOWS = 8


def failing(window: FeatureWindow) -> FeatureWindow:
    """The window as it would be if all its requests failed, and each said so in the log."""
    features = dict(zip(window.names, window.values, strict=True))
    requests = features.get("request/*/count", 0.0)
    values = [_failing(name, value, features, requests) for name, value in features.items()]
    return replace(window, values=tuple(values))


def _failing(name: str, value: float, features: Mapping[str, float], requests: float) -> float:
    group, _, statistic = name.rpartition("/")
    if statistic == "error_share":
        return 1.0 if features.get(f"{group}/count") else value
    if name == "log/severity/error":
        return value + requests
    is_rate = group in ("metric/network.responses.5xx", "metric/http.server.request.errors.rate")
    return value + requests / 5 if is_rate else value


@pytest.mark.parametrize("kind", ["n-sigma", "robust-z", "log-surprise", "trace-deviation"])
def test_a_service_whose_requests_all_fail_raises_an_alarm(kind: str) -> None:
    sample = Sample.read()
    until_us = sample.fault_free_until_us
    odd_from_us = until_us - ODD_WINDOWS * sample.window_us
    windows = [
        failing(each) if each.service == SERVICE and each.start_us >= odd_from_us else each
        for each in sample.windows
        if each.end_us <= until_us
    ]
    decider = AlarmDecider(
        kind, calibration=Calibration(window_us=sample.window_us), fault_free_until_us=odd_from_us
    )
    with unfenced_session(resolve(kind)) as session:
        session.open()
        detecting = Detecting(session, decider, SystemRows(1000 * sample.window_us))
        _, decisions = detecting.take([(each, 0) for each in windows])
    decisions += decider.advance(until_us)
    assert decider.threshold is not None
    assert SERVICE in {each.alarm.service for each in decisions}
