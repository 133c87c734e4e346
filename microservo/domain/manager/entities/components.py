"""What each region has besides the containers of apps."""

from __future__ import annotations

import re
from dataclasses import dataclass

from microservo.domain.manager.entities.values import Name, Text


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancer:
    """A balancer of a region, by the container that it runs in."""

    name: Name
    container: Name
    region: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationServer:
    """A registry of a region, by the container that it runs in."""

    name: Name
    container: Name
    region: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A process that manages the hosts of a region in the master's place.

    Attributes:
        host: that it runs on; empty where the master did not start it.
        container: that it runs in; likewise.
    """

    name: Name
    region: Name
    host: Text = ""
    container: Text = ""


def worker_name(region: str) -> str:
    """The name of the process that is launched as the worker of a region, the same in each of its lives.

    Example:
        >>> worker_name("North America")
        'worker-north-america'
    """
    slug = re.sub(r"[^a-z0-9]+", "-", region.lower()).strip("-")
    return f"worker-{slug}" if slug else "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAddress:
    """An address of the cloud that stays the same; released only if it is ours.

    Attributes:
        allocation: the cloud's identity of it.
        instance: that it is associated with; empty for none.
    """

    name: Name
    region: Name
    address: Text
    allocation: Text = ""
    instance: Text = ""
    is_ours: bool = True
