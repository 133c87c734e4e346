from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from microservo.domain.geography import SEVEN_REGIONS, Coordinates, region_of
from microservo.domain.registry.documents import NAME
from microservo.domain.registry.leases import LEASE_S
from microservo.runtime.http import LOOPBACK, LOOPBACK_NAMES
from microservo.runtime.settings import ServiceSettings


class RegistrySettings(ServiceSettings):
    """Settings of a registry, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(
        env_prefix="MICROSERVO_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    registry_name: str = Field(
        default="registry", pattern=NAME, description="Name of this registry, which no other one has."
    )
    registry_latitude: float = Field(
        default=SEVEN_REGIONS[0].centre.latitude, ge=-90, le=90, description="Where it is, degrees north."
    )
    registry_longitude: float = Field(
        default=SEVEN_REGIONS[0].centre.longitude, ge=-180, le=180, description="Where it is, degrees east."
    )
    registry_region: str = Field(
        default="", max_length=100, description="Its region; the one with the nearest centre if not given."
    )
    registry_host: str = Field(default=LOOPBACK, description="Address to listen on.")
    registry_port: int = Field(default=8761, ge=0, le=65535, description="Port of its API; 0 takes any.")
    registry_url: str = Field(
        default="", description="Where others reach it; its address and port if not given."
    )
    control_token: SecretStr = Field(
        default=SecretStr(""), description="What callers must show; without one, all of this machine may ask."
    )
    lease_s: float = Field(
        default=LEASE_S, ge=0.5, le=3600, description="Seconds of silence after which an instance is gone."
    )
    seed: int = Field(default=0, description="Seed of what is chosen by chance.")

    @model_validator(mode="after")
    def _others_need_a_token(self) -> Self:
        if not self.is_local and not self.control_token.get_secret_value():
            msg = (
                f"registry_host {self.registry_host} can be reached from other machines; "
                "set control_token to a secret of your choice, or listen on 127.0.0.1"
            )
            raise ValueError(msg)
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.registry_host in LOOPBACK_NAMES

    @property
    def place(self) -> Coordinates:
        """Where it is."""
        return Coordinates(self.registry_latitude, self.registry_longitude)

    @property
    def region(self) -> str:
        """The region it is in."""
        return self.registry_region or region_of(self.place).name
