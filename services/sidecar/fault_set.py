"""The faults in force at one sidecar."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from services.sidecar.faults import KINDS
from services.sidecar.faults.base import REQUEST_FAULTS, SEGMENT_FAULTS, Effect, RequestFault, SegmentFault
from services.sidecar.framing import Head


@dataclass(slots=True, kw_only=True, eq=False)
class ActiveFault:
    """One fault; `active` turns False when it ends, and then nothing it asked for holds any more."""

    id: str
    kind: str
    parameters: Mapping[str, object]
    active: bool = True
    applied_at_us: int = 0
    applied_within_us: int = 0
    hits: int = 0


class Hit(NamedTuple):
    """What one fault does to one segment or request, as long as the fault is in force."""

    by: ActiveFault
    effect: Effect


class FaultSet:
    """Applies and removes faults; says what those in force do to a segment or a request."""

    def __init__(self, *, instance: str, seed: int) -> None:
        self._instance = instance
        self._seed = seed
        self._faults: dict[str, ActiveFault] = {}
        self._on_segment: dict[ActiveFault, SegmentFault] = {}
        self._on_request: dict[ActiveFault, RequestFault] = {}

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
        return ended

    def segment_hits(self, size_bytes: int, now_s: float) -> list[Hit]:
        """What happens to a segment; each fault sees it when the one before has passed it on."""
        hits = []
        for active, fault in self._on_segment.items():
            effect = fault.on_segment(size_bytes, now_s)
            if effect is not None:
                hits.append(_hit(active, effect))
                now_s += effect.hold_s
        return hits

    def request_hits(self, request: Head) -> list[Hit]:
        """What happens to a request."""
        asked = ((active, fault.on_request(request)) for active, fault in self._on_request.items())
        return [_hit(active, effect) for active, effect in asked if effect is not None]

    def stream_hits(self, met: set[ActiveFault]) -> list[Hit]:
        """What happens to a stream that is not HTTP, asked once per fault: `met` remembers which."""
        fresh = [(active, fault) for active, fault in self._on_request.items() if active not in met]
        met.update(active for active, _ in fresh)
        asked = ((active, fault.on_request(None)) for active, fault in fresh)
        return [_hit(active, effect) for active, effect in asked if effect is not None]

    def _put(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> ActiveFault:
        chance = random.Random(f"{self._seed}/{self._instance}/{fault_id}")
        active = ActiveFault(id=fault_id, kind=kind, parameters=dict(parameters))
        if kind in SEGMENT_FAULTS:
            self._on_segment[active] = SEGMENT_FAULTS[kind].from_parameters(parameters, chance)
        elif kind in REQUEST_FAULTS:
            self._on_request[active] = REQUEST_FAULTS[kind].from_parameters(parameters, chance)
        else:
            message = f"a sidecar can't make {kind!r}; it can make {', '.join(KINDS)}"
            raise InvalidInput(message)
        self._faults[fault_id] = active
        return active


def _hit(active: ActiveFault, effect: Effect) -> Hit:
    active.hits += 1
    return Hit(active, effect)
