from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from microservo.runtime.settings import ServiceSettings


class EvaluatorSettings(ServiceSettings):
    """Settings of the evaluator, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(env_prefix="MICROSERVO_", frozen=True, extra="ignore")

    run_id: str = Field(min_length=1, description="Run whose algorithms are judged.")
    board_interval_s: float = Field(
        default=5.0, gt=0, description="Seconds between two updates of the board, where anything changed."
    )
    tasks_folder: Path | None = Field(
        default=None,
        description="Folder for what evaluation tasks write while they go on; a temporary one if not given.",
    )
    environments: Path | None = Field(
        default=None,
        description="Folder of the environments that algorithms require; the user's own if not given.",
    )


class TaskSettings(ServiceSettings):
    """Settings of the process of an evaluation task, which the evaluator sets."""

    model_config = SettingsConfigDict(env_prefix="MICROSERVO_", frozen=True, extra="ignore")

    task_folder: Path = Field(description="Folder with the request, and for how far it is.")
    environments: Path | None = Field(default=None, description="As of the evaluator.")
