"""The faults of users: more of them come, or fewer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from microservo.errors import InvalidInput
from microservo.platforms.local.control import Conflict
from microservo.platforms.mechanism import Confirmation
from services.loadgen.pace import Pace

SPIKE = "load-spike"
DROP = "load-drop"
_MOST_TIMES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Active:
    """A fault in force; `times` is what it multiplies the rate by."""

    kind: str
    parameters: Mapping[str, object]
    times: float
    confirmed: Confirmation


class LoadFaults:
    """`Faults` of the users: those in force multiply, and are gone with this process.

    Ids are `FAULT@INSTANCE`. A fault on several instances of the service that users come to is one here, for
    they are the same users.
    """

    def __init__(self, pace: Pace, clock: Callable[[], int]) -> None:
        self._pace = pace
        self._clock = clock
        self._active: dict[str, _Active] = {}

    async def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> Confirmation:
        known = self._active.get(fault_id)
        if known is None:
            known = self._active[fault_id] = self._put_in_force(fault_id, kind, parameters)
        elif (known.kind, known.parameters) != (kind, parameters):
            msg = f"fault {fault_id} is in force as {known.kind} {known.parameters}; recover it first"
            raise Conflict(msg)
        return known.confirmed

    async def recover(self, fault_id: str) -> Confirmation | None:
        began_us = self._clock()
        if self._active.pop(fault_id, None) is None:
            return None
        self._pace.multiply(self._times())
        return self._confirmed(began_us)

    def listing(self) -> Sequence[Mapping[str, object]]:
        return [
            {
                "id": fault_id,
                "kind": active.kind,
                "parameters": active.parameters,
                "applied_at_us": active.confirmed.at_us,
                # Nobody knows which user would not have come, or would have.
                "acted": None,
            }
            for fault_id, active in self._active.items()
        ]

    def _put_in_force(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> _Active:
        times = _times(kind, parameters)
        began_us = self._clock()
        self._pace.multiply(self._times({_of(fault_id): times}))
        return _Active(kind=kind, parameters=parameters, times=times, confirmed=self._confirmed(began_us))

    def _times(self, new: Mapping[str, float] | None = None) -> float:
        """What the rate is multiplied by, with faults that are new."""
        times = {_of(fault_id): active.times for fault_id, active in self._active.items()}
        return math.prod((times | dict(new or {})).values())

    def _confirmed(self, began_us: int) -> Confirmation:
        at_us = self._clock()
        evidence = f"users make {self._pace.rate * self._pace.times:g} journeys a second on the average"
        return Confirmation(at_us=at_us, evidence=evidence, within_us=at_us - began_us)


def _of(fault_id: str) -> str:
    """The fault, whatever the instance."""
    return fault_id.partition("@")[0]


def _times(kind: str, parameters: Mapping[str, object]) -> float:
    """What a fault multiplies the rate by. Raises `InvalidInput` for an unknown kind or bad parameters."""
    if kind not in (SPIKE, DROP):
        msg = f"users can't make {kind!r}; they can make {DROP}, {SPIKE}"
        raise InvalidInput(msg)
    name, low, high = ("times", 1.0, float(_MOST_TIMES)) if kind == SPIKE else ("ratio", 0.0, 1.0)
    value = parameters.get(name)
    unknown = sorted(parameters.keys() - {name})
    if unknown:
        msg = f"{kind} has no parameter {unknown[0]!r}; leave it out"
        raise InvalidInput(msg)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        msg = f"{kind}: {name} is {value!r}; give a number from {low:g} to {high:g}"
        raise InvalidInput(msg)
    return float(value) if kind == SPIKE else 1.0 - value
