"""What a fault inside an instance is, and how its kinds register."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeVar

from microservo.adapters.opentelemetry_sdk import Instrumentation
from services.workload.cache import Caches
from services.workload.calls import Caller
from services.workload.clock import InstanceClock
from services.workload.core import SharedCore
from services.workload.database import Database
from services.workload.faults.parameters import Parameters
from services.workload.heap import GarbageHeap
from services.workload.hooks import Hooks
from services.workload.outgoing import Outgoing
from services.workload.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSite:
    """What a fault may touch in its instance.

    Args:
        seed: of the instance; a fault draws from `random.Random(f"{seed}/{fault_id}")`.
        endpoints: names that the instance serves.
        callees: names of the services that it calls.
        outgoing: what is in force on its calls.

    The rest is the instance itself.
    """

    seed: str
    endpoints: frozenset[str]
    callees: frozenset[str]
    hooks: Hooks
    core: SharedCore
    clock: InstanceClock
    telemetry: Instrumentation
    caller: Caller
    outgoing: Outgoing
    caches: Caches
    heap: GarbageHeap
    volume: Volume
    database: Database


class Fault(Protocol):
    """One fault of one kind; its constructor checks the parameters and changes nothing."""

    kind: ClassVar[str]

    @property
    def acted(self) -> int | None:
        """How many requests it has acted on so far; None where it acts on none in particular."""

    def __init__(self, fault_id: str, parameters: Parameters, site: FaultSite) -> None: ...

    async def apply(self) -> str:
        """Returns once the fault is really in force, with the evidence.

        Raises:
            InvalidInput: this instance can't carry it now; nothing is left behind.
        """

    async def recover(self) -> str:
        """Returns once the fault is really out of force, with the evidence."""


FaultT = TypeVar("FaultT", bound=type[Fault])

KINDS: dict[str, type[Fault]] = {}


def fault(kind: FaultT) -> FaultT:
    """Registers a kind of fault; stands above its class."""
    KINDS[kind.kind] = kind
    return kind
