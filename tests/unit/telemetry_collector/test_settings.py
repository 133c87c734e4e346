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
    monkeypatch.delenv("MICROSERVO_OTLP_PORT", raising=False)
    assert Settings().otlp_port == 4318
