"""Which instances a request means: by service, by name, by labels, and how many of those."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Collection, Mapping, Sequence

from microservo.errors import InvalidInput
from schemas.records import FaultRequest

Labels = Mapping[str, str]

_NUMBER = re.compile(r"([1-9][0-9]{0,3})(%?)", re.ASCII)
_NO_LABELS: Mapping[str, Labels] = {}


def check_mode(mode: str) -> None:
    """Refuses what is no mode (`InvalidInput`)."""
    number = _NUMBER.fullmatch(mode)
    if mode not in ("all", "one") and (number is None or (number[2] and int(number[1]) > 100)):
        msg = f"{mode[:80]!r} is no mode; write all, one, a number like 2, or a percentage like 50%"
        raise InvalidInput(msg)


def targets_of(
    request: FaultRequest,
    services: Mapping[str, Sequence[str]],
    labels: Mapping[str, Labels] = _NO_LABELS,
    down: Collection[str] = (),
) -> tuple[str, ...]:
    """The ids of the instances that a request means; of the same target always the same.

    Where not all are meant, the id of the fault decides which, among those that run if these are enough:
    another fault of the same mode meets others.

    Args:
        request: with action inject.
        services: instances by service.
        labels: of instances, where the platform knows them.
        down: instances that don't run: one that goes while its successor comes, say.

    Raises:
        InvalidInput: there are none, or not so many.

    Example:
        >>> from schemas.records import FaultRequest
        >>> wanted = FaultRequest(
        ...     fault_id="f1", action="inject", requested_at_us=0, kind="noop", service="cart", mode="50%")
        >>> len(targets_of(wanted, {"cart": ["cart-0", "cart-1", "cart-2"]}))
        1
    """
    if request.service not in services:
        raise InvalidInput(unknown("service", request.service, sorted(services)))
    instances = services[request.service]
    for instance in request.instances:
        if instance not in instances:
            raise InvalidInput(unknown(f"instance of {request.service}", instance, sorted(instances)))
    if not instances:
        msg = f"{request.service} has no instances now; try again when it has"
        raise InvalidInput(msg)
    candidates = tuple(dict.fromkeys(request.instances)) or tuple(instances)
    return _some_of(_labelled(candidates, request, labels), request, down)


def unknown(what: str, name: str, names: Sequence[str]) -> str:
    """Says that there is nothing of a name, and which names there are."""
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"there is no {what} {name[:80]!r}; {hint}choose one of {', '.join(names) or 'none'}"


def _labelled(
    candidates: tuple[str, ...], request: FaultRequest, labels: Mapping[str, Labels]
) -> tuple[str, ...]:
    wanted = request.labels.items()
    found = tuple(each for each in candidates if wanted <= labels.get(each, {}).items())
    if not found:
        there = sorted(
            {f"{key}={value}" for each in candidates for key, value in labels.get(each, {}).items()}
        )
        said = ",".join(f"{key}={value}" for key, value in sorted(wanted))
        msg = (
            f"no instance of {request.service} has the labels {said}; they have {', '.join(there) or 'none'}"
        )
        raise InvalidInput(msg)
    return found


def _some_of(candidates: tuple[str, ...], request: FaultRequest, down: Collection[str]) -> tuple[str, ...]:
    check_mode(request.mode)
    if request.mode == "all":
        return candidates
    wanted = _count(request.mode, len(candidates))
    if wanted > len(candidates):
        msg = f"{request.service} has {len(candidates)} such instances, not {wanted}; take fewer, or all"
        raise InvalidInput(msg)
    running = [each for each in candidates if each not in down]
    among = running if len(running) >= wanted else candidates
    chosen = random.Random(request.fault_id).sample(sorted(among), wanted)
    return tuple(sorted(chosen))


def _count(mode: str, of: int) -> int:
    """How many a mode means; of a percentage never none."""
    if mode == "one":
        return 1
    number, _, _ = mode.partition("%")
    return max(1, of * int(number) // 100) if mode.endswith("%") else int(number)
