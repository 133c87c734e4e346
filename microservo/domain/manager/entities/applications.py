"""Apps and the services that they are made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from microservo.domain.manager.entities.values import Amount, Count, InstantUs, Name, PortNumber, Text
from microservo.errors import InvalidInput

ServiceType = Literal["frontend", "backend", "database", "system"]
ComponentType = Literal["", "load-balancer", "registry", "worker"]
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppService:
    """A service of an app; those with a smaller launch order are launched first."""

    service: Name
    launch_order: Count = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Services that belong together."""

    name: Name
    description: Text = ""
    services: tuple[AppService, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port inside of a container, and the first one outside that is tried for it."""

    internal: PortNumber
    external: PortNumber


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What containers are instances of.

    Attributes:
        image: what is run, where the platform runs images; otherwise `command` says it.
        launch: arguments, with placeholders such as `${hostname}`; see `expand_launch`.
        output_label: placeholder under which others get this service's address.
        minimum_replicas: always kept, even from none.
        maximum_replicas: never exceeded; 0 for no limit.
        memory_bytes: what a container is expected to use; likewise `cores` and `disk_bytes` of its image.
        is_stateful: it has a volume on its host, which it doesn't leave.
        is_singleton: one container on a host at the most.
        component: of which every region with containers has one; empty for other services.
    """

    name: Name
    image: Text = ""
    command: tuple[str, ...] = ()
    launch: Text = ""
    ports: tuple[Port, ...] = ()
    type: ServiceType = "backend"
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    output_label: Text = ""
    minimum_replicas: Count = 0
    maximum_replicas: Count = 0
    memory_bytes: Amount = 0.0
    cores: Amount = 0.0
    disk_bytes: Amount = 0.0
    is_stateful: bool = False
    is_singleton: bool = False
    component: ComponentType = ""

    def __post_init__(self) -> None:
        if 0 < self.maximum_replicas < self.minimum_replicas:
            msg = (
                f"service {self.name!r} has at least {self.minimum_replicas} and at most "
                f"{self.maximum_replicas} replicas; give a maximum that is no less, or 0 for no limit"
            )
            raise InvalidInput(msg)

    @property
    def is_governed(self) -> bool:
        """Whether rules decide about its containers."""
        return self.type in ("frontend", "backend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A service that another one calls, or whose database it needs beside it."""

    service: Name
    dependency: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """More replicas than usual are kept from one instant until before another.

    Where several are in force the highest minimum counts, and never less than the service's own.
    """

    name: Name
    service: Name
    start_us: InstantUs
    end_us: InstantUs
    minimum_replicas: Count
    description: Text = ""

    def __post_init__(self) -> None:
        if self.end_us <= self.start_us:
            msg = f"prediction {self.name!r} ends at {self.end_us}; give an end after its start"
            raise InvalidInput(msg)

    def is_in_force(self, now_us: int) -> bool:
        """Whether an instant, epoch microseconds UTC, is within it."""
        return self.start_us <= now_us < self.end_us


def expand_launch(template: str, values: Mapping[str, str]) -> str:
    """A launch template with its placeholders filled in.

    Args:
        template: text with placeholders like `${hostname}`.
        values: by name of placeholder.

    Raises:
        InvalidInput: there is no value for a placeholder.

    Example:
        >>> expand_launch("--port ${internal} --db ${cartdb}", {"internal": "80", "cartdb": "edge-1:27017"})
        '--port 80 --db edge-1:27017'
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            known = ", ".join(sorted(values)) or "none"
            msg = f"there is no value for {match[0]!r}; take one of {known}, or launch what gives it first"
            raise InvalidInput(msg)
        return values[match[1]]

    return _PLACEHOLDER.sub(value, template)
