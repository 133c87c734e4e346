"""Where in a call graph a kind of fault can be: some need users, some a service that is called."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from microservo.domain.faults.base import Fault
from microservo.domain.graph import OUTSIDE, Edge
from microservo.errors import InvalidInput

_LACKS: Mapping[str, str] = {
    "users": "no users come to it",
    "callees": "it calls nobody",
    "callers": "no service calls it",
}


def check_place(kind: type[Fault], values: Mapping[str, object], service: str, edges: Iterable[Edge]) -> None:
    """Refuses a target that a kind can't have there.

    Args:
        kind: of the fault.
        values: its canonical parameters; "" names no service in particular.
        service: that is to be its root cause.
        edges: (caller, callee) of the target.

    Raises:
        InvalidInput: the service has no users, calls nobody, is called by nobody, or has no connection with
            the one that a parameter names; the message says which there are.

    Example:
        >>> from microservo.domain.faults.catalogue import KINDS
        >>> check_place(KINDS["load-spike"], {}, "front", [("loadgen", "front"), ("front", "back")])
    """
    edges = list(edges)
    if kind.needs and service not in places(kind, edges):
        what = _LACKS[kind.needs]
        fit = ", ".join(sorted(places(kind, edges))) or "none"
        msg = f"{kind.kind} can't be at {service}, for {what}; take one of {fit}"
        raise InvalidInput(msg)
    for field in kind.names:
        fit_names = named(kind, field, service, edges)
        name = values.get(field, "")
        if name != "" and name not in fit_names:
            there = ", ".join(sorted(fit_names)) or "none"
            msg = f"{kind.kind}: {field} is {name!r}, which is none of the {kind.names[field]} of {service}; "
            raise InvalidInput(msg + f"there are {there}")


def places(kind: type[Fault], edges: Collection[Edge]) -> set[str]:
    """The services that have what a kind needs, of those that call or are called."""
    if kind.needs == "users":
        return {callee for caller, callee in edges if caller in OUTSIDE}
    if kind.needs == "callees":
        return {caller for caller, _ in edges if caller not in OUTSIDE}
    if kind.needs == "callers":
        return {callee for caller, callee in edges if caller not in OUTSIDE}
    return {service for edge in edges for service in edge if service not in OUTSIDE}


def named(kind: type[Fault], field: str, service: str, edges: Iterable[Edge]) -> set[str]:
    """The services that a parameter of a kind can name where `service` is the target."""
    found = set()
    for caller, callee in edges:
        if callee == service and kind.names[field] != "callees":
            found.add(caller)
        if caller == service and kind.names[field] != "callers":
            found.add(callee)
    return found


def goes_anywhere(kind: type[Fault]) -> bool:
    """Whether a kind can be at any service, whoever calls it and whatever it calls."""
    return not kind.needs and not must_name(kind)


def must_name(kind: type[Fault]) -> str:
    """The parameter of a kind that has to name a service; "" where none has to."""
    found = (each.name for each in kind.parameters if each.field in kind.names and each.default is None)
    return next(found, "")
