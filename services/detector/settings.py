from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from microservo.runtime.settings import ServiceSettings


class DetectorSettings(ServiceSettings):
    """Settings of the detector, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(env_prefix="MICROSERVO_", frozen=True, extra="ignore")

    algorithm: str = Field(default="n-sigma", description="Algorithm to run: n-sigma or random.")
    algorithm_seed: int = Field(default=0, ge=0, description="Seed of an algorithm that draws lots.")

    @property
    def group_id(self) -> str:
        """The consumer group: detectors of one algorithm share the partitions, others read on their own."""
        return self.topic(f"detector-{self.algorithm}")
