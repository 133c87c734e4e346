from __future__ import annotations

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
