"""What the injector is to do, in this order."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.domain.faults.base import Wire
from microservo.domain.faults.decider.events import Timer
from schemas.records import FaultEvent, FaultSnapshot, ServiceFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Write down what happened to a fault: to the services first, then the events, then the state.

    Attributes:
        snapshot: the state after it; where the events' topic stands is added by who writes it.
        confirmed_at_us: the instant of the mechanism's confirmation that this is about, to measure latency.
    """

    events: tuple[FaultEvent, ...]
    service_faults: tuple[ServiceFault, ...]
    snapshot: FaultSnapshot
    confirmed_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnInstance:
    """The base of what is done on one instance for one fault."""

    fault_id: str
    instance: str
    wire: Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply(OnInstance):
    """Put the fault in force, once all that is published is durable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recover(OnInstance):
    """Take the fault out of force, at once: recovering twice does no harm, recovering late does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(OnInstance):
    """Ask whether the fault is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(OnInstance):
    """Ask on how many things the fault has acted so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Take out of force whatever belongs to no open fault; after a pause where `attempts` have failed."""

    instance: str
    attempts: int = 0
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Report the timer as due at `at_us` (epoch microseconds UTC)."""

    at_us: int
    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Delete the state of a fault from the topic of states."""

    fault_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warn:
    """Say in the log what a person should know."""

    text: str


Action = Publish | Apply | Recover | Check | Count | Release | Schedule | Forget | Warn
