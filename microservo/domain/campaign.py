"""A campaign: faults one after another, spread over kinds and services, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from microservo.domain.faults.catalogue import KINDS
from microservo.domain.topology import Call, Topology
from microservo.errors import InvalidInput

T = TypeVar("T")

_DURATIONS_S = (12, 13, 14, 15)
_GAPS_S = (10, 11, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFault:
    """One fault of a campaign; `gap_s` is the quiet time after it."""

    kind: str
    service: str
    parameters: Mapping[str, str]
    duration_s: int
    gap_s: int


def campaign(seed: int, kinds: Sequence[str], services: Sequence[str], count: int) -> list[CampaignFault]:
    """`count` faults in the order in which they are to be injected.

    Every kind comes once before any comes again, and so with the services; no service is hit twice in a row
    if there is another.

    Raises:
        InvalidInput: a negative count, or nothing to choose from.

    Example:
        >>> [fault.kind for fault in campaign(7, ["cpu-hog"], ["cartservice"], 2)]
        ['cpu-hog', 'cpu-hog']
    """
    if count < 0 or not kinds or not services:
        msg = (
            f"a campaign of {count} faults from {len(kinds)} kinds on {len(services)} services can't be made"
        )
        raise InvalidInput(msg)
    rng = random.Random(seed)
    kind_order, service_order = _rounds(rng, kinds), _rounds(rng, services)
    return [
        CampaignFault(
            kind=(kind := next(kind_order)),
            service=next(service_order),
            parameters=KINDS[kind].strong if kind in KINDS else {},
            duration_s=rng.choice(_DURATIONS_S),
            gap_s=rng.choice(_GAPS_S),
        )
        for _ in range(count)
    ]


def busiest_services(topology: Topology) -> list[str]:
    """The services that are called by others, those with most requests of all journeys first.

    A fault shows where there is traffic; the entry is left out because nobody but the users calls it.
    """
    load = dict.fromkeys(topology.services, 0.0)
    for journey in topology.journeys:
        for step in journey.steps:
            _add_load(topology, load, topology.entry, step.endpoint, journey.weight)
    called = [name for name in load if name != topology.entry and load[name] > 0]
    return sorted(called, key=lambda name: (-load[name], name))


def _add_load(topology: Topology, load: dict[str, float], service: str, endpoint: str, times: float) -> None:
    load[service] += times
    for call in _calls(topology, service, endpoint):
        _add_load(topology, load, call.service, call.endpoint, times * call.share * call.times)


def _calls(topology: Topology, service: str, endpoint: str) -> tuple[Call, ...]:
    return topology.services[service].endpoints[endpoint].all_calls()


def _rounds(rng: random.Random, choices: Sequence[T]) -> Iterator[T]:
    """Endless rounds over all choices, each in an order of its own, none twice in a row if it can be."""
    last: T | None = None
    while True:
        order = list(dict.fromkeys(choices))
        rng.shuffle(order)
        if order[0] == last:
            order = order[1:] + order[:1]
        yield from order
        last = order[-1]
