"""Containers: the instances of services on hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from microservo.domain.manager.entities.applications import Port
from microservo.domain.manager.entities.values import InstantUs, Latitude, Longitude, Name, Text

ContainerState = Literal["waiting", "starting", "running", "stopping", "down", "given_up"]
TAKES_PART: Final[frozenset[ContainerState]] = frozenset({"waiting", "starting", "running"})
"""States in which a container counts as a replica."""
GONE: Final[frozenset[ContainerState]] = frozenset({"down", "given_up"})
"""States in which nothing runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An instance of a service.

    Attributes:
        name: its identity; another incarnation has another one.
        state: waiting for its host to be joined, starting, running, stopping, down until its host is back, or
            given up after it ended too often.
        latitude: degrees: where it is wanted, which recovery keeps near; likewise `longitude`.
        region: that its host lies in.
        managed_by: the process that manages it; empty for one that others started, which is never touched.
        started_at_us: epoch microseconds UTC; 0 before it started.
        replaces: the container that is stopped once this one runs; empty unless it migrates.
        recovers: the one that ended, in place of which it is.
        recovered_at_us: when earlier incarnations ended of which this one is the next.
        failed_hosts: those on which it could not be launched.
        launch: what it is launched with, placeholders filled in.
        command_id: the command that asked for it; empty where the manager decided.
    """

    name: Name
    service: Name
    host: Text
    state: ContainerState = "waiting"
    ports: tuple[Port, ...] = ()
    latitude: Latitude
    longitude: Longitude
    region: Text = ""
    managed_by: Text = ""
    started_at_us: InstantUs = 0
    replaces: Text = ""
    recovers: Text = ""
    recovered_at_us: tuple[InstantUs, ...] = ()
    failed_hosts: tuple[str, ...] = ()
    launch: Text = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    command_id: Text = ""

    @property
    def takes_part(self) -> bool:
        """Whether it counts as a replica."""
        return self.state in TAKES_PART
