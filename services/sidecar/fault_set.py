"""The faults in force at one sidecar."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from services.sidecar.faults import KINDS
from services.sidecar.faults.base import (
    ANSWER_FAULTS,
    LISTENER_FAULTS,
    REQUEST_FAULTS,
    SEGMENT_FAULTS,
    AnswerEffect,
    AnswerFault,
    Effect,
    ListenerFault,
    RequestFault,
    SegmentFault,
)
from services.sidecar.faults.region_cut import RegionCut
from services.sidecar.framing import Head


@dataclass(slots=True, kw_only=True, eq=False)
class ActiveFault:
    """One fault; `active` turns False when it ends, and then nothing it asked for holds any more.

    Attributes:
        peer: the service whose connections it is asked about; "" is asked about all.
        is_beyond: of places whose callers it is asked about; None is asked about all.
        hits: what it has acted on so far; None where nobody can count that.
    """

    id: str
    kind: str
    parameters: Mapping[str, object]
    peer: str = ""
    active: bool = True
    applied_at_us: int = 0
    applied_within_us: int = 0
    hits: int | None = 0
    is_beyond: Callable[[str], bool] | None = None

    def act(self) -> None:
        """Counts one thing more that it acted on."""
        if self.hits is not None:
            self.hits += 1

    def concerns(self, peer: str, place: str = "") -> bool:
        """Whether it is asked about the connections of a service, from a place."""
        return self.peer in ("", peer) and (self.is_beyond is None or self.is_beyond(place))


class Hit(NamedTuple):
    """What one fault does to one segment or request, as long as the fault is in force."""

    by: ActiveFault
    effect: Effect


class AnswerHit(NamedTuple):
    """What one fault wants done to an answer; who does it counts it."""

    by: ActiveFault
    effect: AnswerEffect


class FaultSet:
    """Applies and removes faults; says what those in force do to segments, requests, answers, connections."""

    def __init__(self, *, instance: str, seed: int) -> None:
        self._instance = instance
        self._seed = seed
        self._faults: dict[str, ActiveFault] = {}
        self._on_segment: dict[ActiveFault, SegmentFault] = {}
        self._on_request: dict[ActiveFault, RequestFault] = {}
        self._on_answer: dict[ActiveFault, AnswerFault] = {}
        self._on_listener: dict[ActiveFault, ListenerFault] = {}

    def __iter__(self) -> Iterator[ActiveFault]:
        return iter(self._faults.values())

    def __len__(self) -> int:
        return len(self._faults)

    @property
    def touches_segments(self) -> bool:
        return bool(self._on_segment)

    @property
    def touches_requests(self) -> bool:
        return bool(self._on_request)

    @property
    def touches_answers(self) -> bool:
        return bool(self._on_answer)

    @property
    def closes_port(self) -> bool:
        """Whether nobody shall listen."""
        return any(fault.most_connections is None for fault in self._on_listener.values())

    def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> ActiveFault:
        """The fault, in force for the next byte of every connection; the same one when it already is.

        Raises `InvalidInput` for an unknown kind or bad parameters, `Conflict` when the id is taken.
        """
        known = self._faults.get(fault_id)
        if known is None:
            return self._put(fault_id, kind, parameters)
        if (known.kind, known.parameters) != (kind, parameters):
            message = (
                f"fault {fault_id!r} is in force as {known.kind} {dict(known.parameters)}; remove it first"
            )
            raise Conflict(message)
        return known

    def remove(self, fault_id: str) -> ActiveFault | None:
        """Ends a fault and returns it, or None when there is none of that id."""
        ended = self._faults.pop(fault_id, None)
        if ended is not None:
            ended.active = False
            self._on_segment.pop(ended, None)
            self._on_request.pop(ended, None)
            self._on_answer.pop(ended, None)
            self._on_listener.pop(ended, None)
        return ended

    def segment_hits(self, size_bytes: int, now_s: float, peer: str = "", place: str = "") -> list[Hit]:
        """What happens to a segment to `peer` at a place; each fault sees what the one before passes on."""
        hits = []
        for active, fault in self._on_segment.items():
            effect = fault.on_segment(size_bytes, now_s) if active.concerns(peer, place) else None
            if effect is not None:
                hits.append(_hit(active, effect))
                now_s += effect.hold_s
        return hits

    def request_hits(self, request: Head) -> list[Hit]:
        """What happens to a request."""
        asked = (
            (active, fault.on_request(request))
            for active, fault in self._on_request.items()
            if active.concerns(request.peer, request.place)
        )
        return [_hit(active, effect) for active, effect in asked if effect is not None]

    def answer_hits(self, request: Head | None) -> list[AnswerHit]:
        """What is wanted of the answer to a request, or (None) of the end of a connection."""
        asked = ((active, fault.on_answer(request)) for active, fault in self._on_answer.items())
        return [AnswerHit(active, effect) for active, effect in asked if effect is not None]

    def refusal(self, open_connections: int) -> ActiveFault | None:
        """The fault by which there are too many connections, if so many are open; it has acted."""
        for active, fault in self._on_listener.items():
            if fault.most_connections is None or open_connections > fault.most_connections:
                active.act()
                return active
        return None

    def stream_hits(self, met: set[ActiveFault]) -> list[Hit]:
        """What happens to a stream that is not HTTP, asked once per fault: `met` remembers which."""
        fresh = [
            (active, fault)
            for active, fault in self._on_request.items()
            if active not in met and active.concerns("")
        ]
        met.update(active for active, _ in fresh)
        asked = ((active, fault.on_request(None)) for active, fault in fresh)
        return [_hit(active, effect) for active, effect in asked if effect is not None]

    def _put(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> ActiveFault:
        if kind not in KINDS:
            message = f"a sidecar can't make {kind!r}; it can make {', '.join(KINDS)}"
            raise InvalidInput(message)
        chance = random.Random(f"{self._seed}/{self._instance}/{fault_id}")
        active = ActiveFault(id=fault_id, kind=kind, parameters=dict(parameters))
        # What can be no peer is refused by the fault, before anything is asked for one.
        active.peer = str(parameters.get("peer", ""))
        on_segment, on_request = SEGMENT_FAULTS.get(kind), REQUEST_FAULTS.get(kind)
        on_answer, on_listener = ANSWER_FAULTS.get(kind), LISTENER_FAULTS.get(kind)
        if on_segment is not None:
            fault = self._on_segment[active] = on_segment.from_parameters(parameters, chance)
            active.is_beyond = fault.is_beyond if isinstance(fault, RegionCut) else None
        if on_request is not None:
            self._on_request[active] = on_request.from_parameters(parameters, chance)
        if on_answer is not None:
            self._on_answer[active] = on_answer.from_parameters(parameters, chance)
        if on_listener is not None:
            self._on_listener[active] = on_listener.from_parameters(parameters, chance)
            if self._on_listener[active].most_connections is None:
                # Those who are refused are the kernel's, and it counts them for nobody.
                active.hits = None
        self._faults[fault_id] = active
        return active


def _hit(active: ActiveFault, effect: Effect) -> Hit:
    active.act()
    return Hit(active, effect)
