"""Faults that others made with Chaos Mesh (dashboard, kubectl, Schedule, Workflow), as declarations; pure.

::

    object of others ─► records ─► by service and cycle ─► declare ... stop

Each service that it acts on, and each time that it was in force, is a fault of its own, with an id that says
always the same: who reads it again, in another process too, says nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.chaos.experiment import MANAGER
from microservo.platforms.kubernetes.chaos.instants import SECOND_US, CoreEvent, Cycle, Instant, cycles
from microservo.platforms.kubernetes.chaos.status import status_of
from microservo.platforms.kubernetes.pods import instant_us
from schemas.records import FaultRequest

_UID_SHOWN = 18
_KILLS = ("pod-kill", "container-kill")


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


def requests_of(
    found: Json,
    events: Sequence[CoreEvent],
    service_of: Callable[[str], str | None],
    *,
    gone_us: int | None = None,
    pod_gone_us: Callable[[str], int | None] = lambda _: None,
) -> Iterator[FaultRequest]:
    """What is to be declared of an object by now: that it is in force, and that it no longer is.

    Args:
        found: the object in its newest state, with its kind.
        events: what the cluster's events say of it.
        service_of: the service of an instance; None where it is none of the target's.
        gone_us: when the object itself was gone; what is still in force then is over.
        pod_gone_us: when an instance was gone, and what was in force on it with it; None where it is not.
    """
    # A kill is in force after its pod has gone.
    is_kill = found["spec"].get("action") in _KILLS
    for part in _parts(found, events, service_of, (lambda _: None) if is_kill else pod_gone_us):
        fault_id = f"{found['metadata']['uid'][:_UID_SHOWN]}-{part.service[:24]}-{part.number}"
        yield _declaration(found, part, fault_id)
        ended = part.recovered or (Instant(at_us=gone_us, within_us=1_000_000) if gone_us else None)
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


def _declaration(found: Json, part: _Part, fault_id: str) -> FaultRequest:
    return FaultRequest(
        fault_id=fault_id,
        action="declare",
        requested_at_us=instant_us(found["metadata"]["creationTimestamp"]),
        kind=kind_of(found),
        service=part.service,
        instances=part.instances,
        parameters={"object": f"{found['metadata']['namespace']}/{found['metadata']['name']}"},
        start_at_us=part.applied.at_us,
        within_us=part.applied.within_us,
        requested_by=_author(found),
    )


def _parts(
    found: Json,
    events: Sequence[CoreEvent],
    service_of: Callable[[str], str | None],
    pod_gone_us: Callable[[str], int | None],
) -> Iterator[_Part]:
    by_service: dict[str, dict[str, Sequence[Cycle]]] = {}
    for record in status_of(found).carriers:
        service = service_of(record.instance)
        if service is not None:
            ended = _ended_by(cycles(record, events), pod_gone_us(record.instance))
            by_service.setdefault(service, {})[record.instance] = ended
    for service, found_cycles in sorted(by_service.items()):
        for number in range(max(map(len, found_cycles.values()))):
            at_that_time = {
                instance: each[number] for instance, each in found_cycles.items() if number < len(each)
            }
            yield _part(number + 1, service, at_that_time)


def _ended_by(found: Sequence[Cycle], gone_us: int | None) -> Sequence[Cycle]:
    """The cycles, with none in force any more when its pod was gone: Chaos Mesh's record stays as it was."""
    if gone_us is None or not found or found[-1].recovered is not None:
        return found
    gone = Instant(at_us=max(gone_us, found[-1].applied.at_us), within_us=SECOND_US)
    return [*found[:-1], replace(found[-1], recovered=gone)]


def _part(number: int, service: str, found: Mapping[str, Cycle]) -> _Part:
    ends = [each.recovered for each in found.values()]
    known = [each for each in ends if each is not None]
    return _Part(
        number=number,
        service=service,
        instances=tuple(sorted(found)),
        applied=min((each.applied for each in found.values()), key=lambda instant: instant.at_us),
        recovered=max(known, key=lambda instant: instant.at_us) if len(known) == len(ends) else None,
    )


def _http_action(spec: Json) -> str:
    return next((name for name in ("abort", "delay", "replace", "patch") if spec.get(name)), "")


def _author(found: Json) -> str:
    owners = found["metadata"].get("ownerReferences") or ()
    made_by = "".join(f" of {each['kind']} {each['name']}" for each in owners)
    return f"{found['kind']} {found['metadata']['name']}{made_by}"
