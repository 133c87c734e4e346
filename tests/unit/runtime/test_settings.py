from __future__ import annotations

import pytest
from pydantic import ValidationError

from microservo.runtime.settings import ServiceSettings
from services.algorithm_runner.settings import AlgorithmRunnerSettings
from services.fault_injector.settings import FaultInjectorSettings
from services.telemetry_collector.settings import Settings as CollectorSettings


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


@pytest.mark.parametrize(
    "settings_class", [ServiceSettings, AlgorithmRunnerSettings, CollectorSettings, FaultInjectorSettings]
)
def test_an_error_shows_no_password(
    settings_class: type[ServiceSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_KAFKA", '{"security_protocol": "SASL", "sasl_password": "Open-Sesame"}')
    with pytest.raises(ValidationError, match="security_protocol") as refusal:
        settings_class()
    assert "Open-Sesame" not in f"{refusal.value} {refusal.value!r}"


def test_an_unknown_run_of_settings_is_refused_without_what_was_given() -> None:
    with pytest.raises(ValidationError, match="kafka") as refusal:
        ServiceSettings.model_validate({"kafka": ["Open-Sesame"]})
    assert "Open-Sesame" not in f"{refusal.value} {refusal.value!r}"


def test_a_port_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_HEALTH_PORT", "70000")
    with pytest.raises(ValidationError):
        ServiceSettings()
