"""What a manager was told, as JSON and back: told again, it decides the same, to the last byte."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from microservo.domain.geography import RequestCounts
from microservo.domain.manager import events
from microservo.domain.manager.entities import Port, document_of, entity_key, entity_of
from microservo.errors import InvalidInput
from schemas.records import ControlCommand

_COUNTS = ("latitude", "longitude", "count", "at_us")


def input_of(event: events.Event) -> tuple[str, str]:
    """Kind and fields of an event; its instant is not among them.

    Example:
        >>> input_of(events.ContainerEnded(now_us=5, container="c", reason="killed"))
        ('ContainerEnded', '{"container":"c","reason":"killed"}')
    """
    found = {
        field.name: _plain(getattr(event, field.name)) for field in fields(event) if field.name != "now_us"
    }
    return type(event).__name__, json.dumps(
        found, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def event_of(kind: str, document: str, now_us: int) -> events.Event:
    """The event of an input.

    Args:
        kind: name of the class.
        document: its fields, as `input_of` gave them.
        now_us: the instant, epoch microseconds UTC.

    Raises:
        InvalidInput: there is no such kind, or the document is none of it.
    """
    made = _KINDS.get(kind)
    if made is None:
        msg = f"there is no kind {kind[:80]!r} of event; take one of {', '.join(_KINDS)}"
        raise InvalidInput(msg)
    try:
        values = json.loads(document)
        read = {
            field.name: _READ.get(field.name, _as_it_is)(values[field.name])
            for field in fields(made)
            if field.name != "now_us"
        }
        return made(now_us=now_us, **read)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{document[:80]!r} is no {kind}: {error!r}; see microservo.domain.manager.events"
        raise InvalidInput(msg) from error


def _plain(value: Any) -> Any:
    for kind, write in _WRITE:
        if isinstance(value, kind):
            return write(value)
    return [entity_key(value), document_of(value)]


def _as_it_is(value: Any) -> Any:
    return value


_WRITE: Sequence[tuple[Any, Callable[[Any], Any]]] = (
    ((str, int, float, type(None)), _as_it_is),
    (ControlCommand, asdict),
    (RequestCounts, lambda counts: {name: getattr(counts, name).tolist() for name in _COUNTS}),
    (Mapping, lambda found: {key: _plain(each) for key, each in found.items()}),
    (np.ndarray, lambda column: [None if math.isnan(each) else each for each in column.tolist()]),
    (frozenset, sorted),
    (tuple, lambda found: [asdict(each) if isinstance(each, Port) else each for each in found]),
)
"""How values of fields are written; those of no such kind are entities."""


def _columns(found: Mapping[str, list[float | None]]) -> dict[str, Any]:
    return {
        name: np.array([math.nan if each is None else each for each in column], np.float64)
        for name, column in found.items()
    }


def _counts(found: Mapping[str, list[float]]) -> RequestCounts:
    return RequestCounts(
        latitude=np.array(found["latitude"], np.float64),
        longitude=np.array(found["longitude"], np.float64),
        count=np.array(found["count"], np.int64),
        at_us=np.array(found["at_us"], np.int64),
    )


def _host(found: str | list[str]) -> Any:
    """A host as it is written; most events have no more than its name."""
    return found if isinstance(found, str) else entity_of(*found)


_READ: Mapping[str, Callable[[Any], Any]] = {
    "entity": lambda found: None if found is None else entity_of(*found),
    "names": tuple,
    "command_ids": tuple,
    "columns": _columns,
    "counts": _counts,
    "running": frozenset,
    "host": _host,
    "ports": lambda found: tuple(Port(**each) for each in found),
    "command": lambda found: ControlCommand(**found),
}
"""How a field is read, by its name; others stand as they are."""
_KINDS: Mapping[str, type[events.Event]] = {
    kind.__name__: kind
    for kind in (
        events.LifeBegan,
        events.EntityChanged,
        events.CommandsKnown,
        events.CaughtUp,
        events.ContainersMeasured,
        events.HostsMeasured,
        events.ServicesScored,
        events.LocationsSeen,
        events.ContainerStarted,
        events.ContainerEnded,
        events.ContainerStopped,
        events.LaunchFailed,
        events.OrphanFound,
        events.Ending,
        events.LeaveFailed,
        events.StopFailed,
        events.ContainersFound,
        events.HostUp,
        events.HostDown,
        events.HostsDown,
        events.HostJoined,
        events.InstanceLaunched,
        events.Heartbeat,
        events.CommandGiven,
        events.TimePassed,
    )
}
