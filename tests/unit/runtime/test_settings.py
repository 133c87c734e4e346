from __future__ import annotations

import pytest
from pydantic import ValidationError

from microservo.runtime.settings import ServiceSettings


def test_the_environment_is_read_for_service_and_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_BOOTSTRAP_SERVERS", "127.0.0.1:7")
    monkeypatch.setenv("MICROSERVO_TOPIC_PREFIX", "lab-")
    monkeypatch.setenv("MICROSERVO_HEALTH_PORT", "8080")
    settings = ServiceSettings()
    assert settings.kafka.bootstrap_servers == "127.0.0.1:7"
    assert (settings.topic("fault-events"), settings.health_port) == ("lab-fault-events", 8080)


def test_settings_cannot_be_changed() -> None:
    settings = ServiceSettings()
    with pytest.raises(ValidationError):
        settings.run_id = "other"  # type: ignore[misc]


def test_a_port_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HEALTH_PORT", "70000")
    with pytest.raises(ValidationError):
        ServiceSettings()
