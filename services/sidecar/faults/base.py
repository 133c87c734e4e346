"""What a fault of the sidecar is, and how its parameters are read.

A fault never waits and never touches a socket: it says what shall happen to a segment or a request, and the
lane (`services.sidecar.lane`) does it. So every wait can be cut short, and faults compose: holds add up, a
reset wins over an abort, of two aborts the first wins.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Protocol, Self, TypeVar

from microservo.errors import InvalidInput
from services.sidecar.framing import Head

MAX_WAIT_US = 600_000_000
# What TCP carries at most in one segment over Ethernet: 1500 - 20 (IP) - 20 (TCP) - 12 (timestamps).
SEGMENT_BYTES = 1448


class Effect(NamedTuple):
    """What happens to a segment or request: held for `hold_s`, then reset, or answered with a status."""

    hold_s: float = 0.0
    reset: bool = False
    abort_status: int = 0


class Fault(Protocol):
    """What all kinds share; `kind` is the name that requests use."""

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


SegmentFaultT = TypeVar("SegmentFaultT", bound=type[SegmentFault])
RequestFaultT = TypeVar("RequestFaultT", bound=type[RequestFault])

SEGMENT_FAULTS: dict[str, type[SegmentFault]] = {}
REQUEST_FAULTS: dict[str, type[RequestFault]] = {}


def segment_fault(fault: SegmentFaultT) -> SegmentFaultT:
    """Registers a fault of the network; stands above its class."""
    SEGMENT_FAULTS[fault.kind] = fault
    return fault


def request_fault(fault: RequestFaultT) -> RequestFaultT:
    """Registers a fault of the application's protocol; stands above its class."""
    REQUEST_FAULTS[fault.kind] = fault
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
