from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from microservo.domain.manager.changes import MASTER
from microservo.runtime.settings import ServiceSettings


class ManagerSettings(ServiceSettings):
    """Settings of a manager, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(
        env_prefix="MICROSERVO_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    manager_name: str = Field(
        default=MASTER,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
        description="Name of this process: master, or of a worker.",
    )
    manager_region: str = Field(
        default="", max_length=100, description="Region that a worker is for; empty for the master."
    )
    manager_driver: str = Field(
        default="",
        pattern=r"^$|^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="What makes the driver of hosts and containers, as module:function; it takes the tag.",
    )
    manager_tag: str = Field(
        default="microservo", max_length=100, description="What all that managers of this system start bears."
    )
    manager_policy: str = Field(
        default="rules",
        max_length=100,
        description="Policy that decides about placement as long as none is deployed by a command.",
    )
    manager_seed: int = Field(
        default=0, description="Seed of simulated metrics, and of policies that draw by lot."
    )

    manager_prometheus: str = Field(
        default="",
        pattern=r"^$|^https?://",
        description="Prometheus that is asked for fields with a query, without `/api/v1`; empty for none.",
    )

    @model_validator(mode="after")
    def _workers_have_a_region(self) -> Self:
        if self.manager_name != MASTER and not self.manager_region:
            msg = f"worker {self.manager_name!r} has no manager_region; name the region that it is for"
            raise ValueError(msg)
        return self
