"""The kinds of faults, and the check of requests: what passes it can be carried out."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from microservo.domain.faults import kinds
from microservo.domain.faults.base import Fault
from microservo.domain.faults.registry import registered_kinds
from microservo.domain.faults.targets import Labels, check_mode, targets_of, unknown
from microservo.domain.faults.units import format_duration
from microservo.errors import InvalidInput
from schemas.records import FaultRequest

KINDS: Mapping[str, type[Fault]] = registered_kinds(kinds)
"""By name, in order of the names."""

LONGEST_US = 3_600_000_000
"""The longest duration, one hour in microseconds: a fault that is forgotten ends."""
LATEST_START_US = 60_000_000
"""How far in the past a wished start may lie, in microseconds: a stuck request would come as a surprise."""

_NO_LABELS: Mapping[str, Labels] = {}
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """A request that was found good; instants and durations in microseconds."""

    fault_id: str
    fault: Fault
    service: str
    instances: tuple[str, ...]
    start_at_us: int
    duration_us: int
    requested_at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterInfo:
    """One parameter, described for people; `default` None means that it must be given."""

    name: str
    unit: str
    canonical: str
    default: str | None
    allowed: str
    doc: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KindInfo:
    """One kind, described for people; `available`: whether the target can carry it, None if unknown."""

    name: str
    summary: str
    mechanisms: tuple[str, ...]
    available: bool | None
    parameters: tuple[ParameterInfo, ...]


def parse_request(
    request: FaultRequest,
    known_services: Mapping[str, Sequence[str]] | None = None,
    carried: Collection[str] | None = None,
    *,
    labels: Mapping[str, Labels] = _NO_LABELS,
    down: Collection[str] = (),
    now_us: int | None = None,
) -> PlannedFault:
    """What a request to inject asks for, if it can be carried out.

    Args:
        request: with action inject.
        known_services: instances by service; None leaves the judgement of the target to others.
        carried: kinds that the target can carry; None leaves that judgement to others.
        labels: of instances, where the platform knows them.
        down: instances that don't run.
        now_us: epoch microseconds, to judge the start by; the time of the request if not given.

    Raises:
        InvalidInput: it can't; the message says why and what to write instead.
    """
    check_id(request.fault_id)
    kind = kind_named(request.kind)
    if carried is not None and kind.kind not in carried:
        _refuse(
            f"{kind.kind} needs the mechanism {' or '.join(kind.mechanisms)}, which the target lacks; "
            f"it can carry {', '.join(sorted(carried)) or 'nothing'}"
        )
    start_us = request.requested_at_us if request.start_at_us is None else request.start_at_us
    _check_start(start_us, request.requested_at_us if now_us is None else now_us)
    _check_duration(kind, request.duration_us)
    return PlannedFault(
        fault_id=request.fault_id,
        fault=kind.from_text(request.parameters),
        service=request.service,
        instances=_targets(request, known_services, labels, down),
        start_at_us=start_us,
        duration_us=request.duration_us,
        requested_at_us=request.requested_at_us,
    )


def check_id(fault_id: str) -> None:
    """Refuses what can't be the id of a fault (`InvalidInput`)."""
    if not _ID.fullmatch(fault_id):
        _refuse(f"{fault_id[:80]!r} can't be a fault id; take 1 to 64 letters, digits, '-' and '_'")


def kind_named(name: str) -> type[Fault]:
    """The kind of this name; otherwise `InvalidInput`, with the nearest names."""
    if name not in KINDS:
        _refuse(unknown("kind", name, list(KINDS)))
    return KINDS[name]


def describe(carried: Collection[str] | None = None) -> tuple[KindInfo, ...]:
    """Every kind with its parameters, in the order of the catalogue; `carried` as `parse_request`."""
    return tuple(
        KindInfo(
            name=name,
            summary=_summary(kind),
            mechanisms=kind.mechanisms,
            available=None if carried is None else name in carried,
            parameters=tuple(
                ParameterInfo(
                    name=parameter.name,
                    unit=parameter.unit.name,
                    canonical=parameter.unit.canonical,
                    default=parameter.default,
                    allowed=parameter.range_text(),
                    doc=parameter.doc,
                    example=parameter.unit.example,
                )
                for parameter in kind.parameters
            ),
        )
        for name, kind in KINDS.items()
    )


def _summary(kind: type[Fault]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _check_start(start_us: int, now_us: int) -> None:
    late_us = now_us - start_us
    if late_us > LATEST_START_US:
        _refuse(
            f"the start lies {late_us // 1_000_000} s in the past, at most {LATEST_START_US // 1_000_000} s "
            "are allowed; ask again with a later start or none"
        )


def _check_duration(kind: type[Fault], duration_us: int) -> None:
    least = 0 if kind.one_shot else 1
    if duration_us < least:
        _refuse(f"the duration is {duration_us} us; give more than zero, for example 20s")
    if duration_us > LONGEST_US and not kind.one_shot:
        _refuse(
            f"the duration {format_duration(duration_us)} is too long; "
            f"give at most {format_duration(LONGEST_US)}"
        )


def _targets(
    request: FaultRequest,
    known: Mapping[str, Sequence[str]] | None,
    labels: Mapping[str, Labels],
    down: Collection[str],
) -> tuple[str, ...]:
    if not request.service:
        _refuse("no target was given; name a service")
    check_mode(request.mode)
    return request.instances if known is None else targets_of(request, known, labels, down)


def _refuse(message: str) -> NoReturn:
    raise InvalidInput(message)
