from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from microservo.runtime.settings import ServiceSettings


class ProjectorSettings(ServiceSettings):
    """Settings of the projector, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(
        env_prefix="MICROSERVO_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    catalogue_url: SecretStr = Field(
        description="Database of the catalogue: sqlite:////folder/file, postgresql://... or mariadb://..."
    )
    catalogue_replaced: bool = Field(
        default=False,
        description="Whether the catalogue's tables are dropped and made anew where they are of another log.",
    )
