"""The documents that a load balancer and its clients exchange; docs/balancer.openapi.json is made from them.

What stands in them gets into a configuration file of nginx, so nothing is taken that is more than a name, an
address or a path.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, RootModel, model_validator

from microservo.domain.documents import Document
from microservo.domain.registry.documents import Latitude, Longitude, Text, refuse_half_a_place

MOST_SERVERS = 1_000
"""Of all services of a balancer: each is asked every second whether it is there."""

ADDRESS = r"^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}$"
"""Says what an address looks like; `canonical_address` says whether it is one."""
_HEALTH_PATH = r"^/[A-Za-z0-9._~/-]{0,200}$"

State = Literal["up", "down"]


def canonical_address(text: str) -> str:
    """An address as it is always written, so that a server has one name only.

    Args:
        text: `IPv4:port`, or `[IPv6]:port`. Names are none: nginx would not start again while one of them
            can't be resolved.

    Raises:
        ValueError: it is none, or nobody can be reached there.

    Example:
        >>> canonical_address("[2001:DB8:0::1]:8080")
        '[2001:db8::1]:8080'
    """
    if re.fullmatch(ADDRESS, text) is None:
        msg = f"server {text[:80]!r}: expected an IP address and a port, as 10.0.0.7:8080 or [::1]:8080"
        raise ValueError(msg)
    host, _, port = text.rpartition(":")
    try:
        address: IPv4Address | IPv6Address = (
            IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
        )
    except ValueError as error:
        msg = f"server {text!r}: {host} is no IP address"
        raise ValueError(msg) from error
    if int(port) > 65535:
        msg = f"server {text!r}: expected a port from 1 to 65535"
        raise ValueError(msg)
    if address.is_unspecified or address.is_multicast:
        msg = f"server {text!r}: nobody answers at {address}; give the address by which it is reached"
        raise ValueError(msg)
    return f"[{address}]:{port}" if host.startswith("[") else f"{address}:{port}"


class ServerDocument(Document):
    """A server of a service."""

    server: Annotated[str, AfterValidator(canonical_address)] = Field(
        description="IP address and port; IPv6 in [].", json_schema_extra={"pattern": ADDRESS}
    )
    latitude: Latitude | None = Field(default=None, description="Where it runs.")
    longitude: Longitude | None = Field(default=None, description="Where it runs.")
    region: Text | None = None
    health_path: str | None = Field(
        default=None,
        pattern=_HEALTH_PATH,
        description="Asked each second: 200 is healthy. Without one, it is while it takes connections.",
    )

    _is_whole = model_validator(mode="after")(refuse_half_a_place)


class ServersDocument(RootModel[list[ServerDocument]]):
    """Servers to be added, or to be known again with what is new of them."""

    root: Annotated[list[ServerDocument], Field(min_length=1, max_length=MOST_SERVERS)]


class BalancedServerDocument(ServerDocument):
    """A server with its state."""

    state: State = Field(description="down: it gets no requests, for it does not answer.")


class BalancedServersDocument(Document):
    """The servers of a service, by address."""

    servers: list[BalancedServerDocument]


class BalancedServicesDocument(Document):
    """The servers of all services."""

    services: dict[str, list[BalancedServerDocument]]


class BalancerHealthDocument(Document):
    """A balancer that answers."""

    status: Literal["ok", "behind"] = Field(
        description="behind: nginx does not serve yet what this balancer knows; the next try follows."
    )
    generation: int = Field(description="Of the configuration that nginx serves; 0 before the first.")
    nginx: str = Field(description="Its version.")
