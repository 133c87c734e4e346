"""What a fault of the sidecar is, and how its parameters are read.

A fault never waits and never touches a socket: it says what shall happen to a segment, a request, an answer
or a connection, and the lane (`services.sidecar.lane`) or the proxy does it. So every wait can be cut short,
and faults compose: holds add up, a reset wins over an abort, of two aborts or two statuses the first wins, of
two cuts the earlier.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol, Self, TypeVar

from microservo.errors import InvalidInput
from services.sidecar.framing import Head

MAX_WAIT_US = 600_000_000
# As long as a fault may last, and longer: what is held for so long waits for the end of the fault.
UNTIL_RECOVERY_S = 86_400.0
# What TCP carries at most in one segment over Ethernet: 1500 - 20 (IP) - 20 (TCP) - 12 (timestamps).
SEGMENT_BYTES = 1448


class Effect(NamedTuple):
    """What happens to some bytes: held for `hold_s`, then reset, answered with a status, or the last ones."""

    hold_s: float = 0.0
    reset: bool = False
    abort_status: int = 0
    cut: bool = False


class AnswerEffect(NamedTuple):
    """What happens to an answer on its way.

    Attributes:
        status: that it gets instead of its own; 0 leaves it.
        after_bytes: of its body, after which it ends together with its connection; None leaves it whole.
        patch: field of its JSON object and the value that this gets; None leaves it.
        hold_end_s: by how much its last byte comes later.
    """

    status: int = 0
    after_bytes: int | None = None
    patch: tuple[str, str] | None = None
    hold_end_s: float = 0.0


class Fault(Protocol):
    """What all kinds share; `kind` is the name that requests use.

    A fault that has the parameter `peer` is only asked about the connections of that service.
    """

    kind: ClassVar[str]

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        """The fault with these parameters. Raises `InvalidInput` naming the one that is wrong."""


class SegmentFault(Fault, Protocol):
    """A fault of the network: acts on each segment that leaves the instance, on all its connections."""

    def on_segment(self, size_bytes: int, now_s: float) -> Effect | None:
        """What happens to a segment that reaches this fault at `now_s` of the loop's clock."""


class RequestFault(Fault, Protocol):
    """A fault of the application's protocol: acts on each request that reaches the instance."""

    def on_request(self, request: Head | None) -> Effect | None:
        """What happens to this request; None stands for a stream that is not HTTP, asked about once."""


class AnswerFault(Fault, Protocol):
    """A fault of the application's protocol: acts on each answer of the instance to a request."""

    def on_answer(self, request: Head | None) -> AnswerEffect | None:
        """What shall happen to the answer to this request; None stands for the end of the connection."""


class ListenerFault(Fault, Protocol):
    """A fault of the port that callers use."""

    @property
    def most_connections(self) -> int | None:
        """How many connections there may be at once; None closes the port."""


SegmentFaultT = TypeVar("SegmentFaultT", bound=type[SegmentFault])
RequestFaultT = TypeVar("RequestFaultT", bound=type[RequestFault])
AnswerFaultT = TypeVar("AnswerFaultT", bound=type[AnswerFault])
ListenerFaultT = TypeVar("ListenerFaultT", bound=type[ListenerFault])

SEGMENT_FAULTS: dict[str, type[SegmentFault]] = {}
REQUEST_FAULTS: dict[str, type[RequestFault]] = {}
ANSWER_FAULTS: dict[str, type[AnswerFault]] = {}
LISTENER_FAULTS: dict[str, type[ListenerFault]] = {}


def segment_fault(fault: SegmentFaultT) -> SegmentFaultT:
    """Registers a fault of the network; stands above its class."""
    SEGMENT_FAULTS[fault.kind] = fault
    return fault


def request_fault(fault: RequestFaultT) -> RequestFaultT:
    """Registers a fault of the application's protocol; stands above its class."""
    REQUEST_FAULTS[fault.kind] = fault
    return fault


def answer_fault(fault: AnswerFaultT) -> AnswerFaultT:
    """Registers a fault of answers; stands above its class."""
    ANSWER_FAULTS[fault.kind] = fault
    return fault


def listener_fault(fault: ListenerFaultT) -> ListenerFaultT:
    """Registers a fault of the port; stands above its class."""
    LISTENER_FAULTS[fault.kind] = fault
    return fault


class Parameters:
    """Reads named numbers; `finish` refuses those that were not read."""

    def __init__(self, kind: str, given: Mapping[str, object]) -> None:
        self._kind = kind
        self._given = dict(given)

    def whole(self, name: str, *, least: int, most: int) -> int:
        value = self._pop(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise InvalidInput(self._wrong(name, value, f"a whole number from {least} to {most}"))
        return value

    def ratio(self, name: str = "ratio") -> float:
        value = self._pop(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InvalidInput(self._wrong(name, value, "a number from 0 to 1"))
        return float(value)

    def endpoint(self, name: str = "endpoint") -> str:
        value = self._given.pop(name, "")
        if not isinstance(value, str):
            raise InvalidInput(self._wrong(name, value, "an endpoint's name, or '' for all of them"))
        return value.strip("/")

    def text(self, name: str) -> str:
        value = self._pop(name)
        if not isinstance(value, str) or not value:
            raise InvalidInput(self._wrong(name, value, "a text"))
        return value

    def peer(self) -> str:
        value = self._given.pop("peer", "")
        if not isinstance(value, str):
            raise InvalidInput(self._wrong("peer", value, "a service's name, or '' for all of them"))
        return value

    def finish(self) -> None:
        if self._given:
            message = f"{self._kind} has no parameter {min(self._given)!r}; leave it out"
            raise InvalidInput(message)

    def _pop(self, name: str) -> object:
        if name not in self._given:
            message = f"{self._kind} needs the parameter {name!r}, which is missing; add it"
            raise InvalidInput(message)
        return self._given.pop(name)

    def _wrong(self, name: str, value: object, expected: str) -> str:
        return f"{self._kind}: {name} is {value!r}, expected {expected}"
