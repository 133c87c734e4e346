from __future__ import annotations

import pytest

from microservo.adapters.kafka import KafkaSettings
from microservo.errors import InvalidInput
from microservo.runtime.environment import from_environment
from microservo.runtime.settings import ServiceSettings, settings_or_exit


def test_what_is_given_counts_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_BOOTSTRAP_SERVERS", "127.0.0.1:7")
    assert from_environment(KafkaSettings).bootstrap_servers == "127.0.0.1:7"
    given = from_environment(KafkaSettings, bootstrap_servers="127.0.0.1:8")
    assert given.bootstrap_servers == "127.0.0.1:8"


def test_the_error_names_the_variable_its_value_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MICROSERVO_HEALTH_PORT", "70000")
    with pytest.raises(
        InvalidInput, match=r"MICROSERVO_HEALTH_PORT is '70000': input should be less than .* 65535"
    ):
        from_environment(ServiceSettings)


def test_settings_that_contradict_one_another_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("MICROSERVO_SASL_PASSWORD", "Open-Sesame")
    with pytest.raises(InvalidInput, match="needs sasl_username and sasl_password; set both") as refusal:
        from_environment(KafkaSettings)
    assert "Open-Sesame" not in str(refusal.value)


@pytest.mark.parametrize(
    "text", ['{"security_protocol": "X", "sasl_password": "Open-Sesame"}', '["Open-Sesame"]']
)
def test_a_variable_that_can_hold_a_password_is_never_shown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_KAFKA", text)
    with pytest.raises(InvalidInput, match="MICROSERVO_KAFKA") as refusal:
        from_environment(ServiceSettings)
    assert "Open-Sesame" not in str(refusal.value)


def test_the_url_of_a_database_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    class WithCatalogue(ServiceSettings):
        catalogue_url: int = 0

    monkeypatch.setenv("MICROSERVO_CATALOGUE_URL", "postgresql://owner:Open-Sesame@database/catalogue")
    with pytest.raises(InvalidInput, match="MICROSERVO_CATALOGUE_URL: input should be") as refusal:
        from_environment(WithCatalogue)
    assert "Open-Sesame" not in str(refusal.value)


def test_a_process_whose_settings_are_wrong_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_LOG_LEVEL", "LOUD")
    with pytest.raises(
        SystemExit, match=r"^streams: the settings can't be used: MICROSERVO_LOG_LEVEL is 'LOUD'"
    ):
        settings_or_exit(ServiceSettings, "streams")
