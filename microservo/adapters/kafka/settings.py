"""How Kafka is reached: what the environment says, or who makes a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from microservo.adapters.kafka.options import KafkaAccess


class KafkaSettings(BaseSettings):
    """How to reach Kafka; each field is also the environment variable MICROSERVO_ + its name."""

    # What was given is never part of an error: a password may stand in it.
    model_config = SettingsConfigDict(
        env_prefix="MICROSERVO_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    bootstrap_servers: str = "127.0.0.1:9092"
    """Host and port of one or more brokers, separated by commas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None
    """PEM file of the authorities to trust; the system's where unset."""
    ssl_certificate_location: Path | None = None
    """PEM file of the client's certificate."""
    ssl_key_location: Path | None = None
    """PEM file of the client's key."""
    ssl_key_password: SecretStr | None = None
    ssl_endpoint_identification: bool = True
    """Whether the broker's certificate must carry the broker's host name."""
    connect_timeout_s: float = Field(default=10, gt=0)
    """How long a client waits for a first answer before it gives up, and how long each question may take."""
    delivery_timeout_s: float = Field(default=120, gt=0)
    """How long a message is tried before the producer fails."""

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            msg = (
                f"security_protocol {self.security_protocol} needs sasl_username and sasl_password; set both"
            )
            raise ValueError(msg)
        return self

    @property
    def access(self) -> KafkaAccess:
        """The same in plain values, secrets too."""
        return KafkaAccess(**{name: _plain(getattr(self, name)) for name in type(self).model_fields})


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
