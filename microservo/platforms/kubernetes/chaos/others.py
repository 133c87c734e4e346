"""Faults that others made with Chaos Mesh (dashboard, kubectl, Schedule, Workflow), as declarations; pure.

::

    object of others ─► records ─► by service and cycle ─► declare ... stop

Each service that it acts on, and each time that it was in force, is a fault of its own, with an id that says
always the same: who reads it again, in another process too, says nothing new. A Schedule makes an object for
each recurrence, and a Workflow one for each of its nodes, so that these are faults of their own, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.chaos.experiment import MANAGER
from microservo.platforms.kubernetes.chaos.instants import SECOND_US, CoreEvent, Cycle, Instant, cycles
from microservo.platforms.kubernetes.chaos.status import Record, status_of
from microservo.platforms.kubernetes.pods import instant_us
from schemas.records import FaultRequest

EndedOf = Callable[[str, Instant], Instant | None]
"""When what was in force on a record since then has ended other than by Chaos Mesh; None where it has not."""

_UID_SHOWN = 18
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[A-Za-z0-9_-]+-[0-9]+", re.ASCII)
_KILLS = ("pod-kill", "container-kill")
_WORKFLOW_LABEL = "chaos-mesh.org/workflow"
_SERVICE_IN_ID = re.compile(r"[A-Za-z0-9_-]{1,24}", re.ASCII)
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One time that an object was in force on a service."""

    number: int
    service: str
    instances: tuple[str, ...]
    applied: Instant
    recovered: Instant | None


def is_ours(found: Json) -> bool:
    """Whether we have made an object."""
    labels = found["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in MANAGER.items())


def is_id_of_others(fault_id: str) -> bool:
    """Whether an id is one that `requests_of` gives."""
    return _ID.fullmatch(fault_id) is not None


def is_kill(found: Json) -> bool:
    """Whether an object kills pods or containers, which no pause and no deletion of it undoes."""
    return found["spec"].get("action") in _KILLS


def requests_of(
    found: Json,
    events: Sequence[CoreEvent],
    service_of: Callable[[str], str | None],
    *,
    gone_us: int | None = None,
    ended_of: EndedOf = lambda _record, _applied: None,
) -> Iterator[FaultRequest]:
    """What is to be declared of an object by now: that it is in force, and that it no longer is.

    Args:
        found: the object in its newest state, with its kind.
        events: what the cluster's events say of it.
        service_of: the service of an instance; None where it is none of the target's.
        gone_us: when the object itself was gone; what is still in force then is over, but for a kill.
        ended_of: of a kill, when something was ready in place of what it hit; of the rest, when its pod went.
    """
    for part in _parts(found, events, service_of, ended_of):
        fault_id = f"{found['metadata']['uid'][:_UID_SHOWN]}-{_in_id(part.service)}-{part.number}"
        ended = part.recovered
        if ended is None and gone_us is not None and not is_kill(found):
            ended = Instant(at_us=gone_us, within_us=SECOND_US)
        if ended is not None:
            ended = _after(ended, part.applied)
        yield _declaration(found, part, fault_id, ended)
        if ended is not None:
            yield FaultRequest(
                fault_id=fault_id,
                action="stop",
                requested_at_us=ended.at_us,
                end_at_us=ended.at_us,
                within_us=ended.within_us,
                requested_by=_author(found),
            )


def kind_of(found: Json) -> str:
    """The kind of a fault of others, for example networkchaos-delay.

    Never that of one of ours: what their parameters mean is theirs.
    """
    spec = found["spec"]
    stressors = spec.get("stressors") or {}
    action = spec.get("action") or "-".join(sorted(stressors)) or _http_action(spec)
    return "-".join(part for part in (found["kind"].lower(), action.lower()) if part)


def _declaration(found: Json, part: _Part, fault_id: str, ended: Instant | None) -> FaultRequest:
    return FaultRequest(
        fault_id=fault_id,
        action="declare",
        requested_at_us=instant_us(found["metadata"]["creationTimestamp"]),
        kind=kind_of(found),
        service=part.service,
        instances=part.instances,
        parameters=_origin(found),
        start_at_us=part.applied.at_us,
        end_at_us=None if ended is None else ended.at_us,
        within_us=max(each.within_us for each in (part.applied, ended) if each is not None),
        requested_by=_author(found),
    )


def _parts(
    found: Json,
    events: Sequence[CoreEvent],
    service_of: Callable[[str], str | None],
    ended_of: EndedOf,
) -> Iterator[_Part]:
    by_service: dict[str, dict[Record, Sequence[Cycle]]] = {}
    for record in status_of(found).carriers:
        service = service_of(record.instance)
        if service is not None:
            ended = _ended_by(cycles(record, events), record, ended_of, is_once=is_kill(found))
            by_service.setdefault(service, {})[record] = ended
    for service, found_cycles in sorted(by_service.items()):
        for number in range(max(map(len, found_cycles.values()))):
            at_that_time = {
                record: each[number] for record, each in found_cycles.items() if number < len(each)
            }
            yield _part(number + 1, service, at_that_time)


def _ended_by(found: Sequence[Cycle], record: Record, ended_of: EndedOf, *, is_once: bool) -> Sequence[Cycle]:
    """The cycles, with none in force any more that ended otherwise: Chaos Mesh's record stays as it was.

    What happens once has an end that is no recovery; that which Chaos Mesh writes down is its bookkeeping.
    """
    if not found or (found[-1].recovered is not None and not is_once):
        return found
    return [*found[:-1], replace(found[-1], recovered=ended_of(record.id, found[-1].applied))]


def _part(number: int, service: str, found: Mapping[Record, Cycle]) -> _Part:
    ends = [each.recovered for each in found.values()]
    known = [each for each in ends if each is not None]
    return _Part(
        number=number,
        service=service,
        instances=tuple(sorted({record.instance for record in found})),
        applied=min((each.applied for each in found.values()), key=lambda instant: instant.at_us),
        recovered=max(known, key=lambda instant: instant.at_us) if len(known) == len(ends) else None,
    )


def _after(ended: Instant, applied: Instant) -> Instant:
    """An end behind its beginning: of two instants within one second, none tells which came first."""
    at_us = max(ended.at_us, applied.at_us + 1)
    return Instant(at_us=at_us, within_us=ended.within_us + at_us - ended.at_us)


def _in_id(service: str) -> str:
    """What stands for a service in an id, which takes fewer signs than its name and is shorter."""
    if _SERVICE_IN_ID.fullmatch(service):
        return service
    digest = hashlib.sha256(service.encode()).hexdigest()[:8]
    return f"{_NOT_IN_ID.sub('-', service)[:24]}-{digest}"


def _http_action(spec: Json) -> str:
    return next((name for name in ("abort", "delay", "replace", "patch") if spec.get(name)), "")


def _origin(found: Json) -> dict[str, str]:
    """The object, and the Schedule or Workflow that made it."""
    metadata = found["metadata"]
    places = {"object": metadata["name"]}
    for each in _owners(found):
        if each["kind"] == "Schedule":
            places["schedule"] = each["name"]
    if workflow := (metadata.get("labels") or {}).get(_WORKFLOW_LABEL):
        places["workflow"] = workflow
    return {what: f"{metadata['namespace']}/{name}" for what, name in places.items()}


def _author(found: Json) -> str:
    made_by = "".join(f" of {each['kind']} {each['name']}" for each in _owners(found))
    workflow = (found["metadata"].get("labels") or {}).get(_WORKFLOW_LABEL)
    return f"{found['kind']} {found['metadata']['name']}{made_by}" + (
        f" of Workflow {workflow}" if workflow else ""
    )


def _owners(found: Json) -> Sequence[Json]:
    return found["metadata"].get("ownerReferences") or ()
