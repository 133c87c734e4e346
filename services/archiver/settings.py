from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from microservo.runtime.settings import ServiceSettings


class ArchiverSettings(ServiceSettings):
    """Settings of the archiver, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(env_prefix="MICROSERVO_", frozen=True, extra="ignore")

    archive_dir: Path = Field(default=Path("datasets"), description="Folder that holds one dataset per run.")
