"""What a manager is to do, in this order; each can be done twice without harm, by the name of its subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from microservo.domain.manager.entities import Container, Entity
from schemas.records import ControlCommand, ControlEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Write an entity to `system-state`; the decider takes it as written."""

    entity: Entity
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Delete an entity from `system-state`; likewise."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Give an entity to a process; the master's."""

    key: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Publish what was decided, or came of it."""

    event: ControlEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Give a command to the process that owns what it is about."""

    command: ControlCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Launch a container on its host; report `ContainerStarted` or `LaunchFailed`."""

    container: Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop a container; report `ContainerStopped` or `StopFailed`."""

    container: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartHost:
    """Start a machine; report `HostUp` or `HostDown`."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinHost:
    """Make a machine a node of the cluster; report `HostJoined` or `HostDown`."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveHost:
    """Take a machine out of the cluster, and stop it if it is ours; report `LeaveFailed` if it can't be."""

    host: str
    stops: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchInstance:
    """Launch an instance of the cloud; report `InstanceLaunched`, or `LaunchFailed` of the container."""

    cloud_region: str
    container: str


Done = Launch | Stop | StartHost | JoinHost | LeaveHost | LaunchInstance
"""What is done by a driver."""
Action = Put | Remove | Assign | Report | Order | Done

DEADLINES_S: Mapping[type[Done], float] = {
    Launch: 60.0,
    Stop: 60.0,
    StartHost: 60.0,
    JoinHost: 60.0,
    LeaveHost: 60.0,
    LaunchInstance: 300.0,
}
"""Seconds, from when a driver is asked first, after which an action has failed, all attempts together.

What comes of it later is seen like all else: a host that is up after all is up; a container that was given up
and starts is adopted if it is recorded still, and stopped if it was replaced meanwhile.
"""
READY_US = 180_000_000
"""Microseconds, from the decision, after which a container that does not serve counts as failed."""
