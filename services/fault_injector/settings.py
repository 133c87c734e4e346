from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from microservo.domain.graph import OUTSIDE
from microservo.runtime.settings import ServiceSettings


class FaultInjectorSettings(ServiceSettings):
    """The settings of the injector, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(env_prefix="MICROSERVO_", frozen=True, extra="ignore")

    target_state: Path = Field(description="State file of the target system (target.json).")
    outside_services: frozenset[str] = Field(
        default=OUTSIDE, description="Callers that are users, not services of the target."
    )

    @property
    def group_id(self) -> str:
        """The consumer group; one for each topic prefix."""
        return self.topic("fault-injector")
