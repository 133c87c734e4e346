"""Faults that others made: a deployment, a broken switch, another tool's experiment.

Nothing here acts on them, so all that is known is what was declared: since when, until when, how bad. They
are labelled like those that were injected, and their effects are measured alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from microservo.domain.faults.catalogue import KINDS, check_id
from microservo.errors import InvalidInput
from schemas.records import FaultRequest

DEFAULT_SEVERITY = 0.5
AHEAD_US = 60_000_000
"""How far ahead of the injector's clock a declared instant may lie, in microseconds: clocks differ."""

_KIND = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A declared fault that was found good; instants in epoch microseconds.

    Attributes:
        instances: those that it is in force on; empty where none was named.
        end_at_us: None while it is in force.
        within_us: how exactly both instants are known; None if that was not said.
    """

    fault_id: str
    kind: str
    service: str
    instances: tuple[str, ...]
    parameters: Mapping[str, str]
    severity: float
    start_at_us: int
    end_at_us: int | None
    within_us: int | None
    requested_at_us: int
    evidence: str


def parse_declaration(request: FaultRequest, *, run_from_us: int = 0, now_us: int) -> Declaration:
    """What a request to declare says, if it can be.

    Args:
        request: with action declare.
        run_from_us: epoch microseconds at which the run began; 0 if unknown.
        now_us: epoch microseconds.

    Raises:
        InvalidInput: it can't; the message says why and what to write instead.
    """
    check_id(request.fault_id)
    _check_kind(request.kind)
    if not request.service:
        _refuse("no service was given; name the one that the fault was in")
    severity = DEFAULT_SEVERITY if request.severity is None else request.severity
    if not 0 <= severity <= 1:
        _refuse(f"the severity is {severity:g}; give 0 (nothing) to 1 (total)")
    if request.within_us is not None and request.within_us < 0:
        _refuse(f"the instants are known within {request.within_us} us; give zero or more, for example 500ms")
    start_us = request.requested_at_us if request.start_at_us is None else request.start_at_us
    if start_us < run_from_us:
        late_s = (run_from_us - start_us) / 1e6
        _refuse(f"the fault begins {late_s:g} s before the run; give a --from within it")
    check_not_ahead("begins", start_us, now_us)
    if request.end_at_us is not None:
        check_end(request.end_at_us, start_us, now_us)
    return Declaration(
        fault_id=request.fault_id,
        kind=request.kind,
        service=request.service,
        instances=tuple(dict.fromkeys(request.instances)),
        parameters=dict(request.parameters),
        severity=severity,
        start_at_us=start_us,
        end_at_us=request.end_at_us,
        within_us=request.within_us,
        requested_at_us=request.requested_at_us,
        evidence=declared_by(request),
    )


def check_end(end_us: int, start_us: int, now_us: int) -> None:
    """Refuses what can't be the end of a declared fault (`InvalidInput`); all in epoch microseconds."""
    if end_us <= start_us:
        _refuse(f"the end lies {(start_us - end_us) / 1e6:g} s before the beginning; give a later one")
    check_not_ahead("ends", end_us, now_us)


def check_not_ahead(what: str, at_us: int, now_us: int) -> None:
    """Refuses an instant that has not come (`InvalidInput`): what is declared must have happened."""
    if at_us > now_us + AHEAD_US:
        _refuse(
            f"the fault {what} {(at_us - now_us) / 1e6:g} s from now, and only what has happened can be "
            "declared; declare it when it has"
        )


def declared_by(request: FaultRequest) -> str:
    """Who declares what a request says, as evidence."""
    return f"declared by {request.requested_by}" if request.requested_by else "declared"


def _check_kind(kind: str) -> None:
    if kind in KINDS:
        _refuse(
            f"{kind} is injected rather than declared: `microservo fault request {kind}`; "
            "if others made it, give the kind a name of its own"
        )
    if not _KIND.fullmatch(kind):
        _refuse(
            f"{kind[:80]!r} can't be the kind of a fault; take 1 to 64 lower-case letters, digits and '-', "
            "for example deploy"
        )


def _refuse(message: str) -> NoReturn:
    raise InvalidInput(message)
