"""Instants of what was just done to an object: its core Events, which have them exactly, are waited for."""

from __future__ import annotations

from microservo.errors import Retryable
from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.chaos.instants import CoreEvent, Cycle, cycles
from microservo.platforms.kubernetes.chaos.objects import ChaosObjects
from microservo.platforms.kubernetes.chaos.status import Operation, status_of
from microservo.retry import retry

_EVENT_S = 0.5
"""How long the core Event of an attempt is waited for."""
_LOOK_S = 0.05


def last_cycles(
    objects: ChaosObjects,
    found: Json,
    awaited: Operation,
    *,
    asked_us: int = 0,
    ended_us: int = 0,
    seen_us: int = 0,
) -> list[Cycle]:
    """The last time that each carrier had the fault.

    The core Event of what was done last may come a moment after the record.

    Args:
        objects: those of the cluster.
        found: the object.
        awaited: what was done last.
        asked_us: when the fault was asked for; 0 where that says nothing of it.
        ended_us: when its end was asked for, likewise.
        seen_us: when the object was seen, likewise.
    """
    metadata, carriers = found["metadata"], status_of(found).carriers
    wanted = {record.id for record in carriers}

    def look() -> list[Cycle]:
        events = objects.events(metadata["namespace"], metadata["name"], metadata["uid"])
        if not wanted <= {each.record for each in events if each.operation == awaited}:
            msg = f"the events of {metadata['name']} are not there yet"
            raise Retryable(msg)
        return cycled(events)

    def cycled(events: tuple[CoreEvent, ...]) -> list[Cycle]:
        by_record = (
            cycles(each, events, asked_us=asked_us, ended_us=ended_us, seen_us=seen_us) for each in carriers
        )
        return [each[-1] for each in by_record if each]

    try:
        return retry(look, timeout_s=_EVENT_S, first_pause_s=_LOOK_S, longest_pause_s=_LOOK_S)
    except Retryable:
        return cycled(objects.events(metadata["namespace"], metadata["name"], metadata["uid"]))
