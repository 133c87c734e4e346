from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from microservo.runtime.settings import ServiceSettings


class AlgorithmRunnerSettings(ServiceSettings):
    """Settings of the algorithm runner, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(env_prefix="MICROSERVO_", frozen=True, extra="ignore")

    run_id: str = Field(min_length=1, description="Run whose windows are scored.")
    algorithms_folder: Path = Field(description="Folder for code, memory and logs of what is deployed.")
    environments: Path = Field(description="Folder of the environments that algorithms require.")
