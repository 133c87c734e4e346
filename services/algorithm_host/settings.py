from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from microservo.runtime.settings import ServiceSettings


class AlgorithmHostSettings(ServiceSettings):
    """Settings of an algorithm's host, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(env_prefix="MICROSERVO_", frozen=True, extra="ignore")

    run_id: str = Field(min_length=1, description="Run whose windows are scored.")
    deployment: Path = Field(description="File with the deployment to run, as it is on its topic.")
    algorithm_folder: Path = Field(description="Folder for its code, its memory and its logs.")
    checks: Path = Field(description="Folder that says which algorithms have passed their checks.")
    environments: Path = Field(description="Folder of the environments that algorithms require.")
    environment_deadline_s: float = Field(
        default=900.0, gt=0, description="Seconds that the build of an environment may take."
    )
    history_windows: int = Field(
        default=500, ge=10, description="So many windows of each service are read back when it begins."
    )
    case_history_s: float = Field(
        default=600.0, gt=0, description="Seconds before an alarm that rankers and classifiers are shown."
    )
