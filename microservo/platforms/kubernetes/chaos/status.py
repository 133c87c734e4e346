"""What Chaos Mesh says of one of its objects; pure.

Its conditions come one round of its controller after the records, so that only the records count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.pods import instant_us

Operation = Literal["Apply", "Recover"]
_PEER = ".Target"
PAUSE_ANNOTATION = "experiment.chaos-mesh.org/pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEvent:
    """That something was done to one pod or container, or could not be; `at_us` is a whole second."""

    operation: Operation
    succeeded: bool
    at_us: int
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was done to one pod or container.

    Attributes:
        id: namespace/pod or namespace/pod/container.
        carries: whether the fault is on it, rather than only on the other side of the network.
        injected: whether the fault is in force on it.
        at_rest: whether nothing is under way on it, and nothing to be recovered: its object may go.
        events: in their order.
    """

    id: str
    carries: bool
    injected: bool
    at_rest: bool
    events: tuple[RecordEvent, ...]

    @property
    def instance(self) -> str:
        """The pod, as instances are named."""
        return "/".join(self.id.split("/")[:2])

    @property
    def failure(self) -> str:
        """Why the last attempt failed; empty where it did not."""
        last = self.events[-1] if self.events else None
        return "" if last is None or last.succeeded else last.message


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosStatus:
    """The state of an object.

    Attributes:
        selected: whether pods were found for it.
        paused: whether somebody has suspended it.
        stopping: whether it is to end, or has ended.
        records: of all pods and containers.
    """

    selected: bool
    paused: bool
    stopping: bool
    records: tuple[Record, ...]

    @property
    def carriers(self) -> tuple[Record, ...]:
        """The records that the fault itself is on."""
        return tuple(record for record in self.records if record.carries)

    @property
    def is_injected(self) -> bool:
        """Whether it is in force everywhere."""
        return bool(self.carriers) and all(record.injected for record in self.carriers)

    @property
    def is_in_force(self) -> bool:
        """Whether it is in force anywhere."""
        return any(record.injected for record in self.carriers)

    @property
    def is_spreading(self) -> bool:
        """Whether it is in force somewhere, and not yet elsewhere where nothing has failed."""
        is_waiting = any(not record.injected and not record.failure for record in self.carriers)
        return self.is_in_force and is_waiting and not self.stopping

    @property
    def failure(self) -> str:
        """Why something has failed; empty where nothing has."""
        return "; ".join(f"{each.id}: {each.failure}" for each in self.records if each.failure)


def status_of(found: Json) -> ChaosStatus:
    """The state of an object of the API."""
    status = found.get("status") or {}
    experiment = status.get("experiment") or {}
    conditions: Mapping[str, str] = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    direction = found["spec"].get("direction", "to")
    records = tuple(_record(each, direction) for each in experiment.get("containerRecords") or ())
    return ChaosStatus(
        selected=bool(records) or conditions.get("Selected") == "True",
        paused=(found["metadata"].get("annotations") or {}).get(PAUSE_ANNOTATION) == "true",
        stopping=experiment.get("desiredPhase") == "Stop" or "deletionTimestamp" in found["metadata"],
        records=records,
    )


def _record(found: Json, direction: str) -> Record:
    is_peer = found.get("selectorKey") == _PEER
    return Record(
        id=found["id"],
        carries=direction == "both" or is_peer == (direction == "from"),
        # Its cycle: Not Injected, Not Injected/Wait while it is applied, Injected, Injected/Wait while it is
        # recovered (controllers/common/records of Chaos Mesh): until that is done it is in force.
        injected=found["phase"] in ("Injected", "Injected/Wait"),
        at_rest=found["phase"] == "Not Injected",
        events=tuple(_event(each) for each in found.get("events") or ()),
    )


def _event(found: Json) -> RecordEvent:
    return RecordEvent(
        operation=found["operation"],
        succeeded=found["type"] == "Succeeded",
        at_us=instant_us(found["timestamp"]),
        message=found.get("message", ""),
    )
