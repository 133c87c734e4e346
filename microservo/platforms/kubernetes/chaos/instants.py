"""When a fault took effect, and how exactly that is known, by what Chaos Mesh writes down; pure.

Its records have whole seconds. The core Event that it makes at the same time has nanoseconds in its name::

    fault in force          controller's attempt returned          event in the record
         |---- one round, at most 1 s ----| at_us (core Event) ...... | 12:00:05Z
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.chaos.status import Operation, Record

SECOND_US = 1_000_000
_REASONS: Mapping[str, Operation] = {"Applied": "Apply", "Recovered": "Recover"}
_RECORD_ANNOTATION = "chaos-mesh.org/id"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreEvent:
    """That an attempt on one record succeeded; `at_us` is exact."""

    record: str
    operation: Operation
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """Epoch microseconds UTC, and how far the truth may lie from it, either way."""

    at_us: int
    within_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One time that a fault was in force on a record: until it was ended, or paused."""

    applied: Instant
    recovered: Instant | None


def core_events(found: Iterable[Json]) -> tuple[CoreEvent, ...]:
    """What the core Events of an object say, in order of time; others than ours are left out."""
    events = (_core_event(each) for each in found)
    return tuple(sorted((each for each in events if each is not None), key=lambda each: each.at_us))


def cycles(
    record: Record, events: Sequence[CoreEvent], *, asked_us: int = 0, ended_us: int = 0, seen_us: int = 0
) -> tuple[Cycle, ...]:
    """The times that a fault was in force on a record, in order.

    Args:
        record: as Chaos Mesh has it.
        events: of the object; may lack some, or all.
        asked_us: when the fault was asked for, if we did that; nothing happened before.
        ended_us: when its end was asked for, likewise.
        seen_us: when the record was seen; what it says has happened by then.
    """
    found: list[Cycle] = []
    for operation, instant in _done(record, events, asked_us, ended_us, seen_us):
        if operation == "Apply":
            found.append(Cycle(applied=instant, recovered=None))
        elif found and found[-1].recovered is None:
            found[-1] = Cycle(applied=found[-1].applied, recovered=instant)
    return tuple(found)


def _done(
    record: Record, events: Sequence[CoreEvent], asked_us: int, ended_us: int, seen_us: int
) -> Iterator[tuple[Operation, Instant]]:
    """The attempts on a record that succeeded, in order.

    A record keeps its last hundred attempts. Where what failed since has pushed others out, core Events that
    are older than all of those are what is left of them.
    """
    since_us = {"Apply": asked_us, "Recover": ended_us}
    if record.events:
        for event in events:
            if event.record == record.id and event.at_us < record.events[0].at_us:
                yield event.operation, _instant(event.at_us, event, since_us[event.operation], seen_us)
    used: set[CoreEvent] = set()
    for each in record.events:
        if each.succeeded:
            exact = _exact(record, each.operation, each.at_us, events, used)
            yield each.operation, _instant(each.at_us, exact, since_us[each.operation], seen_us)


def is_exact(record: Record, events: Sequence[CoreEvent]) -> bool:
    """Whether the newest attempt on a record that succeeded has its core Event; true where none did."""
    used: set[CoreEvent] = set()
    found = [
        _exact(record, each.operation, each.at_us, events, used) for each in record.events if each.succeeded
    ]
    return not found or found[-1] is not None


def of_second(second_us: int, *, since_us: int = 0, seen_us: int = 0) -> Instant:
    """The instant of something that is known to lie within a second.

    Args:
        second_us: the whole second.
        since_us: when it had not happened yet; 0 if unknown.
        seen_us: when it had happened, likewise. Clocks that differ by more than a second bound nothing.
    """
    from_us, to_us = second_us, second_us + SECOND_US
    if from_us <= since_us < to_us:
        from_us = since_us
    if from_us <= seen_us < to_us:
        to_us = seen_us
    at_us = (from_us + to_us) // 2
    return Instant(at_us=at_us, within_us=to_us - at_us)


def _instant(second_us: int, exact: CoreEvent | None, since_us: int, seen_us: int) -> Instant:
    """When the fault itself took effect, or ceased to: up to one round before the attempt returned."""
    if exact is not None:
        returned = Instant(at_us=exact.at_us, within_us=0)
    else:
        returned = of_second(second_us, since_us=since_us, seen_us=seen_us)
    earliest_us = returned.at_us - returned.within_us - SECOND_US
    if earliest_us <= since_us <= returned.at_us:
        earliest_us = since_us
    return Instant(at_us=returned.at_us, within_us=max(returned.at_us - earliest_us, returned.within_us))


def _exact(
    record: Record,
    operation: Operation,
    second_us: int,
    events: Iterable[CoreEvent],
    used: set[CoreEvent],
) -> CoreEvent | None:
    """The core Event of an attempt: the first that was made when the attempt returned, or just after."""
    for event in events:
        is_it = (event.record, event.operation) == (record.id, operation)
        if is_it and event not in used and second_us <= event.at_us < second_us + 2 * SECOND_US:
            used.add(event)
            return event
    return None


def _core_event(found: Json) -> CoreEvent | None:
    operation: Operation | None = _REASONS.get(found.get("reason", ""))
    record = (found["metadata"].get("annotations") or {}).get(_RECORD_ANNOTATION)
    _, _, nanoseconds = found["metadata"]["name"].rpartition(".")
    if operation is None or record is None:
        return None
    try:
        at_us = int(nanoseconds, 16) // 1000
    except ValueError:
        return None
    return CoreEvent(record=record, operation=operation, at_us=at_us)
