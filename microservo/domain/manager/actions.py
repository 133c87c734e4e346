"""What a manager is to do, in this order; each can be done twice without harm, by the name of its subject."""

from __future__ import annotations

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


Action = (
    Put | Remove | Assign | Report | Order | Launch | Stop | StartHost | JoinHost | LeaveHost | LaunchInstance
)
