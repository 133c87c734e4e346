"""What a platform is: where a target system runs, which instances it has, what can be done to them.

Several implementations, held by one contract suite (`microservo.testing.check_platform`). Who injects
faults or measures knows this and no platform: no process id, no port, no URL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.targets import Labels
from microservo.domain.graph import Edge
from microservo.platforms.mechanism import Mechanism
from schemas.records import FaultRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance of a service, running or not."""

    id: str
    service: str
    is_up: bool
    started_at_us: int
    """When it was last started, epoch microseconds UTC; 0 if never."""
    host: str = ""
    """Name of the machine that it runs on; empty where the platform doesn't know."""
    ended_at_us: int = 0
    """When it last ended, likewise."""
    labels: Labels = field(default_factory=dict, hash=False)
    """By which requests may choose it, where the platform knows labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChange:
    """That an instance was started (`up`), or has ended (`down`), at `at_us` (epoch microseconds UTC).

    `up` comes once more for an instance that ran on, when something beside it that carries faults has been
    restarted: what was in force may be gone.
    """

    instance: Instance
    state: Literal["up", "down"]
    at_us: int


Readings = Mapping[str, Mapping[str, float]]
"""Metrics by instance id; those that begin with `process.` are of instances that run, others of any."""

RUNS = "process.memory.usage"
"""The metric that every instance has which runs, and no other."""


class Meter(Protocol):
    """Reads what instances use, from outside; belongs to one thread."""

    def read(self) -> Readings:
        """The metrics of every running instance; nan of what runs and was not measured yet.

        Rates are over the time since the reading before.

        Raises:
            Unavailable: there is no target.
        """


class Platform(Protocol):
    """A target system as it is at this moment. Several threads may ask.

    `instances` and `edges` raise `Unavailable` while no target runs.
    """

    @property
    def name(self) -> str:
        """For example "local"."""

    def instances(self) -> Sequence[Instance]: ...

    def edges(self) -> Iterable[Edge]:
        """Who may call whom, users included, where the platform knows."""

    def mechanisms(self, kind: str) -> Sequence[Mechanism]:
        """What can carry a kind of fault here, the best first; [] where nothing can.

        Raises:
            InvalidInput: there is no such kind.
        """

    def watch(self, on_change: Callable[[InstanceChange], None]) -> AbstractContextManager[None]:
        """Calls `on_change` for each change while the context lasts, from a thread of the platform's.

        What is up when the watch begins is reported first, so that a watcher needs no other look.
        """

    def watch_faults(
        self, on_request: Callable[[FaultRequest], None], *, left: Mapping[str, str] = MappingProxyType({})
    ) -> AbstractContextManager[None]:
        """Calls `on_request` with a declaration of each fault that others make, and with one of its end.

        From threads of the platform's, while the context lasts; first for what is there already, so that the
        same may come again after a restart. What is `left` and not there any more has its end declared.

        Args:
            on_request: gets them.
            left: faults that were declared earlier and have no end, with what their parameter `object` says.
        """

    def force(self, instance: str, fault_id: str, kind: str) -> None:
        """Gives up a recovery that is stuck; the fault may stay in force.

        Raises:
            InvalidInput: there is nothing to give up.
        """

    def meter(self) -> Meter: ...


@runtime_checkable
class LoadedPlatform(Platform, Protocol):
    """A platform that also makes the load of its target."""

    def set_load(self, journeys_per_s: float) -> None:
        """Has the users of the target make so many journeys per second from now on.

        Raises:
            Retryable: what makes the load does not answer.
        """


def kinds_here(platform: Platform) -> frozenset[str]:
    """The kinds of faults that a platform can carry."""
    return frozenset(kind for kind in KINDS if platform.mechanisms(kind))


def services_of(platform: Platform) -> dict[str, list[str]]:
    """The ids of a platform's instances by service. Raises as `Platform.instances`."""
    services: dict[str, list[str]] = {}
    for instance in platform.instances():
        services.setdefault(instance.service, []).append(instance.id)
    return services


def labels_of(instances: Iterable[Instance]) -> dict[str, Labels]:
    """The labels of instances by id, of those that have any."""
    return {instance.id: instance.labels for instance in instances if instance.labels}
