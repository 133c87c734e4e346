"""The collector's settings."""

from __future__ import annotations

import pytest

from services.telemetry_collector.settings import Settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_OTLP_PORT", "14318")
    monkeypatch.setenv("MICROSERVO_TARGET_STATE", "")
    found = Settings()
    assert (found.otlp_port, found.target_state) == (14318, None)


def test_the_defaults_are_those_of_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MICROSERVO_OTLP_PORT", "MICROSERVO_OTLP_GRPC_PORT"):
        monkeypatch.delenv(name, raising=False)
    settings = Settings()
    assert (settings.otlp_port, settings.otlp_grpc_port, settings.otlp_host) == (4318, 4317, "127.0.0.1")
    assert settings.receiver_limits().cors_origins == ()


def test_an_answer_comes_well_before_exporters_give_up() -> None:
    assert Settings().receiver_limits().answer_timeout_s <= 5


def test_origins_of_web_pages_are_given_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_OTLP_CORS_ORIGINS", "https://a.example, https://b.example:8080")
    assert Settings().receiver_limits().cors_origins == ("https://a.example", "https://b.example:8080")
