from __future__ import annotations

from math import nan

from microservo.cli.lines import describe
from schemas.records import FeatureWindow


def said_of(**features: float) -> str:
    names = {"requests": "request/*/count", "errors": "request/*/error_share", "silent": "telemetry/silent"}
    window = FeatureWindow(
        run_id="run-1",
        service="cart",
        start_us=0,
        end_us=5_000_000,
        revision=0,
        names=tuple(names[name] for name in features),
        values=tuple(features.values()),
        service_kind="service",
    )
    return str(describe(window)[-1]).strip()


def test_of_a_window_without_requests_no_share_of_them_is_shown() -> None:
    assert said_of(requests=14, errors=0.5, silent=0) == "requests 14, errors 50%"
    assert said_of(requests=0, errors=nan, silent=0) == "requests 0"


def test_a_window_of_a_silent_service_says_so() -> None:
    assert said_of(requests=0, errors=nan, silent=1) == "requests 0, silent"
