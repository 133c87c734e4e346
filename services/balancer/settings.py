from __future__ import annotations

import os
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from microservo.domain.geography import SEVEN_REGIONS, Coordinates
from microservo.domain.registry.documents import NAME
from microservo.runtime.http import LOOPBACK, LOOPBACK_NAMES
from microservo.runtime.settings import ServiceSettings
from microservo.supervision.system_file import home


class BalancerSettings(ServiceSettings):
    """Settings of a load balancer, from environment variables that begin with `MICROSERVO_`."""

    model_config = SettingsConfigDict(
        env_prefix="MICROSERVO_", env_ignore_empty=True, frozen=True, extra="ignore"
    )

    balancer_name: str = Field(
        default="balancer", pattern=NAME, description="Name of this balancer, which no other one has."
    )
    balancer_latitude: float = Field(
        default=SEVEN_REGIONS[0].centre.latitude, ge=-90, le=90, description="Where it is, degrees north."
    )
    balancer_longitude: float = Field(
        default=SEVEN_REGIONS[0].centre.longitude, ge=-180, le=180, description="Where it is, degrees east."
    )
    balancer_host: str = Field(default=LOOPBACK, description="IP address for users.")
    balancer_port: int = Field(default=8080, ge=1, le=65535, description="Port for users.")
    balancer_api_host: str = Field(default=LOOPBACK, description="Address of its API.")
    balancer_api_port: int = Field(default=1906, ge=0, le=65535, description="Port of its API; 0 takes any.")
    balancer_folder: Path | None = Field(
        default=None, description="Where its nginx works, and its servers are kept."
    )
    balancer_workers: int = Field(default=2, ge=1, le=64, description="Processes of nginx.")
    balancer_geoip: Path | None = Field(
        default=None, description="Database of cities, by which it is known where users are."
    )
    balancer_trusted_proxies: str = Field(
        default="", description="Networks whose X-Forwarded-For is believed, with commas between."
    )
    control_token: SecretStr = Field(
        default=SecretStr(""), description="What callers of the API must show; without one, this machine may."
    )

    @field_validator("balancer_host")
    @classmethod
    def _address(cls, given: str) -> str:
        """It gets into nginx' configuration."""
        return str(ip_address(given))

    @field_validator("balancer_trusted_proxies")
    @classmethod
    def _networks(cls, given: str) -> str:
        return ",".join(str(ip_network(each.strip())) for each in given.split(",") if each.strip())

    @model_validator(mode="after")
    def _others_need_a_token(self) -> Self:
        if not self.is_local and not self.control_token.get_secret_value():
            msg = (
                f"balancer_api_host {self.balancer_api_host} can be reached from other machines; "
                "set control_token to a secret of your choice, or listen on 127.0.0.1"
            )
            raise ValueError(msg)
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach its API."""
        return self.balancer_api_host in LOOPBACK_NAMES

    @property
    def place(self) -> Coordinates:
        """Where it is."""
        return Coordinates(self.balancer_latitude, self.balancer_longitude)

    @property
    def listen(self) -> str:
        """Address and port for users, as of `canonical_address`."""
        host = f"[{self.balancer_host}]" if ":" in self.balancer_host else self.balancer_host
        return f"{host}:{self.balancer_port}"

    @property
    def folder(self) -> Path:
        """Where its nginx works; of root not in its home, which nginx' workers can't enter."""
        if self.balancer_folder is not None:
            return self.balancer_folder.absolute()
        if os.geteuid() == 0:
            return Path("/var/lib/microservo/balancers") / self.balancer_name
        return home() / "balancers" / self.balancer_name

    @property
    def trusted_proxies(self) -> tuple[str, ...]:
        """Networks whose X-Forwarded-For is believed."""
        return tuple(each for each in self.balancer_trusted_proxies.split(",") if each)
