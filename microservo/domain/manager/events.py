"""What a manager learns; every event says when, in epoch microseconds UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from microservo.domain.geography import RequestCounts
from microservo.domain.manager.entities import Entity, Host, Port
from microservo.domain.telemetry import Float64
from schemas.records import ControlCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all of them."""

    now_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeBegan(Event):
    """The process was started; told before all else, as what it was started with is in no entity.

    Attributes:
        policy: that decides as long as settings name no other.
        seed: of simulated metrics, and of policies that draw by lot.
    """

    policy: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityChanged(Event):
    """A change on `system-state` was accepted.

    Attributes:
        key: kind and id.
        entity: as it is now; None where it was deleted.
        owner: whose it is.
    """

    key: str
    entity: Entity | None
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsKnown(Event):
    """Commands that an earlier life of the process carried out; told before any other is given."""

    command_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp(Event):
    """All of `system-state` was told that was there when the manager started; it decides nothing before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Event):
    """The base of what was measured of many at an instant.

    Attributes:
        names: of hosts or containers.
        columns: values by field, each of shape (names,), NaN where there is none.
    """

    names: tuple[str, ...]
    columns: Mapping[str, Float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainersMeasured(Measured):
    """What was measured of containers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsMeasured(Measured):
    """What was measured of hosts: `ram-available`, `disk-available` in bytes, `cpu-%` of all processors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicesScored(Event):
    """What an algorithm said of services; `field` is, for example, `anomaly-score/robust-z`."""

    field: str
    by_service: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationsSeen(Event):
    """Where requests to a service came from."""

    service: str
    counts: RequestCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStarted(Event):
    """A container that was launched answers, at these ports."""

    container: str
    ports: tuple[Port, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEnded(Event):
    """A container runs no more, or never came to run, whoever ended it."""

    container: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStopped(Event):
    """A driver has stopped a container, as it was told to.

    Attributes:
        requests_lost: requests that it had taken and not answered then; None where the driver does not count.
    """

    container: str
    requests_lost: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFailed(Event):
    """A container could not be launched on its host."""

    container: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopFailed(Event):
    """A container could not be stopped."""

    container: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainersFound(Event):
    """All that runs on a host, as its platform says; told on start and when a host is back."""

    host: str
    running: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanFound(Event):
    """A container of ours has run for a while, and nothing is recorded of it: another one has replaced it.

    So it is when its host was cut off, or when it started after it had been given up.
    """

    container: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUp(Event):
    """A host answers.

    Attributes:
        shares: what holds its containers to its processors and memory, as its driver says.
    """

    host: str
    shares: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDown(Event):
    """A host could not be started or joined, or nothing is known of it."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsDown(Event):
    """Hosts don't answer any more, all at the same look: none of them takes what ran on another."""

    names: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostJoined(Event):
    """A host is a node of the cluster."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveFailed(Event):
    """A host that left could not be stopped."""

    host: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceLaunched(Event):
    """An instance of the cloud was launched for a container."""

    host: Host
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Event):
    """The master or a worker lives.

    Attributes:
        name: of the process.
        running: containers that it manages and that do run.
    """

    name: str
    running: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandGiven(Event):
    """Somebody wants something."""

    command: ControlCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending(Event):
    """The manager ends in order, and takes with it what managers started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePassed(Event):
    """Nothing but that; told once a second or so."""
