from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from microservo.runtime.settings import ServiceSettings


class EffectObserverSettings(ServiceSettings):
    """Settings of the effect observer, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(env_prefix="MICROSERVO_", frozen=True, extra="ignore")

    run_id: str = Field(min_length=1, description="Run whose faults are observed.")
    look_back_s: float = Field(
        default=1800.0, gt=0, description="Seconds of telemetry that are read back at a start."
    )
