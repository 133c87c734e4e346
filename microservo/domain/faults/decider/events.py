"""The events of the injector, each with the instant at which it got it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from microservo.domain.faults.lifecycle import ExposedService, FaultStatus
from microservo.domain.faults.targets import Labels
from microservo.domain.graph import Edge
from schemas.records import FaultRequest, FaultVerdict, ServiceGraph

Task = Literal["apply", "recover", "retry", "count", "request", "verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """What is to be done at an instant; `instance` is empty where the whole fault is meant."""

    task: Task
    fault_id: str
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """The target system as it was at one moment.

    Attributes:
        services: ids of the instances of each service, running or not.
        edges: who may call whom, as far as the platform knows.
        kinds: those that it can carry.
        down: instances that are not running.
        hosts: names of the machines that instances run on, where the platform knows.
        labels: of instances, likewise.
    """

    services: Mapping[str, tuple[str, ...]]
    edges: frozenset[Edge] = frozenset()
    kinds: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()
    hosts: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Labels] = field(default_factory=dict)

    @property
    def instances(self) -> frozenset[str]:
        """The ids of all instances."""
        return frozenset(instance for instances in self.services.values() for instance in instances)

    def beside(self, instances: Iterable[str]) -> frozenset[str]:
        """The services that have an instance on a machine that one of these runs on."""
        machines = {self.hosts[instance] for instance in instances if instance in self.hosts}
        return frozenset(
            service
            for service, ids in self.services.items()
            if any(self.hosts.get(instance) in machines for instance in ids)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFault:
    """A fault as an earlier process left it, put together from the topics.

    Attributes:
        instances: those it was meant for; empty where that is not known.
        exposed: the services that have been given records about it.
        is_stored: whether the state that lies on the topic of states is this one.
    """

    status: FaultStatus
    request: FaultRequest | None = None
    instances: tuple[str, ...] = ()
    exposed: tuple[ExposedService, ...] = ()
    is_stored: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all; `now_us` is in epoch microseconds UTC."""

    now_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted(Event):
    """A process begins; these are the faults that earlier ones left, in the order of their last change."""

    faults: tuple[KnownFault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReceived(Event):
    """A request to inject, to stop or to declare a fault; the same request may come again."""

    request: FaultRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerDue(Event):
    """The instant of a timer has come."""

    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class OfInstance(Event):
    """The base of what came of acting on one instance for one fault."""

    fault_id: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed(OfInstance):
    """The base of confirmations; their fields are those of `microservo.platforms.mechanism.Confirmation`."""

    at_us: int
    evidence: str
    within_us: int | None = None
    acted: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyConfirmed(Confirmed):
    """The fault is in force since `at_us`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyRefused(OfInstance):
    """The instance can't carry the fault."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyUnanswered(OfInstance):
    """No answer: the fault may be in force or not."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryConfirmed(Confirmed):
    """The fault is out of force since `at_us`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryUnanswered(OfInstance):
    """No answer, or none yet: the fault may be in force or not."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked(OfInstance):
    """Whether the fault is in force on the instance; None without an answer."""

    holds: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted(OfInstance):
    """On how many things the fault has acted so far on the instance; None without an answer."""

    acted: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseUnanswered(Event):
    """An instance did not say what is in force on it; it has been asked `attempts` times."""

    instance: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceChanged(Event):
    """An instance was started, or has ended."""

    instance: str
    is_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSeen(Event):
    """The target is there, and looks like this."""

    target: TargetView


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetGone(Event):
    """There is no target; `problem` says what adds one."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSeen(Event):
    """Who called whom lately."""

    graph: ServiceGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Event):
    """What the effect observer says of a fault by now; an older verdict may come again."""

    verdict: FaultVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutDown(Event):
    """The process is to end, and every fault with it."""
