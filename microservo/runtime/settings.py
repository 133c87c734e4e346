"""The settings of every service, from environment variables that begin with `MICROSERVO_`."""

from __future__ import annotations

import sys
from typing import Literal, TypeVar

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from microservo.adapters.kafka.settings import KafkaSettings
from microservo.errors import InvalidInput
from microservo.runtime.environment import PREFIX, from_environment

T = TypeVar("T", bound="ServiceSettings")


class ServiceSettings(BaseSettings):
    """Settings that all services share; each service adds its own in a subclass.

    `kafka` reads the broker's own variables (`MICROSERVO_BOOTSTRAP_SERVERS`, `MICROSERVO_SASL_...`).

    Example:
        >>> ServiceSettings(topic_prefix="lab-").topic("fault-events")
        'lab-fault-events'
    """

    # What was given is never part of an error: among the broker's settings there are passwords.
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    kafka: KafkaSettings = Field(default_factory=KafkaSettings, description="How to reach the broker.")
    topic_prefix: str = Field(default="", description="Put before every topic name.")
    run_id: str = Field(default="", description="Run that everything written belongs to.")
    health_port: int = Field(
        default=0, ge=0, le=65535, description="Port of /healthz and /metrics; 0 takes any."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Log level.")

    def topic(self, name: str) -> str:
        """The physical name of a topic of the contract."""
        return self.topic_prefix + name


def settings_or_exit(kind: type[T], program: str) -> T:
    """The settings of this process; ends it with one line that says what is wrong with them.

    Raises:
        SystemExit: some can't be used.
    """
    try:
        return from_environment(kind)
    except InvalidInput as error:
        sys.exit(f"{program}: {error}")
