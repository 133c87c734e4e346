"""The choice of a campaign's faults: spread over kinds and services, the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from microservo.domain.faults.catalogue import KINDS
from microservo.domain.faults.places import goes_anywhere, must_name, named, places
from microservo.domain.graph import Edge
from microservo.domain.topology import Call, Topology
from microservo.errors import InvalidInput

T = TypeVar("T")

_DURATIONS_S = (12, 13, 14, 15)
_GAPS_S = (10, 11, 12)
_NO_WEIGHTS: Mapping[str, int] = {}
_NO_LADDERS: Mapping[str, Sequence[Mapping[str, str]]] = {}
_NO_EDGES: Sequence[Edge] = ()
_LONG_GAPS_S = (20, 22, 24)
"""Of a balanced campaign: the more windows are fault-free, the less weighs who is often affected."""
_OTHERS = 4.5
"""For each fault that stays with its service, there are so many others in a balanced campaign."""
_SHORT_S = (3, 4, 5)
_LONG_S = (50, 55, 60, 65)
_WINDOW_S = 5
"""A fault makes windows anomalous for about so much longer than it lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFault:
    """One fault of a campaign; `gap_s` is the quiet time after it."""

    kind: str
    service: str
    parameters: Mapping[str, str]
    duration_s: int
    gap_s: int


def campaign(
    seed: int,
    kinds: Sequence[str],
    services: Sequence[str],
    count: int,
    *,
    idle: Collection[str] = (),
    callers: Mapping[str, Collection[str]] | None = None,
    edges: Sequence[Edge] = _NO_EDGES,
    weights: Mapping[str, int] = _NO_WEIGHTS,
    ladders: Mapping[str, Sequence[Mapping[str, str]]] = _NO_LADDERS,
    durations_s: Sequence[int] = _DURATIONS_S,
    gaps_s: Sequence[int] = _GAPS_S,
) -> list[CampaignFault]:
    """`count` faults in the order in which they are to be injected.

    Every kind comes as often as it weighs before a round begins anew, and every service once; no service is
    hit twice in a row if there is another. A service that is `idle` waits, first in the line, until a kind
    comes that shows without requests, if there is such a kind among them.

    Whoever calls many is affected by most of their faults. Where `callers` are given, the campaign is
    balanced, so that a score that knows nothing but the service says little: faults that show at callers are
    short, and one that stays with its service is long and on the service that was affected least so far.

    Args:
        seed: of the choice.
        kinds: to choose from.
        services: to choose from, likewise.
        count: how many faults.
        idle: services with so few requests that most kinds would not show.
        callers: of each service, those that call it.
        edges: (caller, callee) of the target, by which some kinds choose their services, and their peers;
            empty where nothing is known of them.
        weights: how often kinds come in a round; those that are not there come once.
        ladders: parameters that the faults of a kind take in turn; others have what shows clearly.
        durations_s: to choose from, in seconds, where the campaign is not balanced.
        gaps_s: likewise.

    Raises:
        InvalidInput: a negative count, or nothing to choose from; or a kind can be at none of the services.

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
    if callers is not None and not weights:
        weights = _balancing(kinds)
    slots = [(kind, slot) for kind in dict.fromkeys(kinds) for slot in range(weights.get(kind, 1))]
    fit = {kind: _fit(kind, services, edges) for kind in dict.fromkeys(kinds)}
    kind_order, line = _rounds(rng, slots), _Line(_rounds(rng, services), len(set(services)))
    balance = None if callers is None else _Balance(rng, services, callers)
    taken: Counter[str] = Counter()
    faults = []
    for _ in range(count):
        kind, _slot = next(kind_order)
        if fit[kind]:
            service = line.take_this(_in_turn(fit[kind], taken[kind], line.last))
            duration_s = rng.choice(durations_s if balance is None else _SHORT_S)
            if balance is not None:
                balance.add(balance.waiting_for(service), duration_s)
        elif balance is None:
            service, duration_s = line.take(_passed_over(kind, idle)), rng.choice(durations_s)
        elif _stays_local(kind):
            service, duration_s = line.take_this(balance.least_affected(line.last)), rng.choice(_LONG_S)
            balance.add({service}, duration_s)
        else:
            service, duration_s = line.take(_passed_over(kind, idle)), rng.choice(_SHORT_S)
            balance.add(balance.waiting_for(service), duration_s)
        ladder = ladders.get(kind) or ({} if kind not in KINDS else KINDS[kind].strong,)
        faults.append(
            CampaignFault(
                kind=kind,
                service=service,
                parameters=_with_peer(rng, ladder[taken[kind] % len(ladder)], kind, service, edges),
                duration_s=duration_s,
                gap_s=rng.choice(gaps_s if balance is None else _LONG_GAPS_S),
            )
        )
        taken[kind] += 1
    return faults


def _fit(kind: str, services: Sequence[str], edges: Sequence[Edge]) -> Sequence[str]:
    """The services that a kind has to choose from; none where any will do, or nothing is known."""
    if not edges or kind not in KINDS or goes_anywhere(KINDS[kind]):
        return ()
    found = [name for name in dict.fromkeys(services) if name in places(KINDS[kind], edges)]
    if not found:
        msg = f"{kind} can be at none of {', '.join(services)}; leave it out, or take other services"
        raise InvalidInput(msg)
    return found


def _in_turn(names: Sequence[str], turn: int, last: str) -> str:
    """One after another; not the last one if there is another."""
    others = [name for name in names if name != last] or names
    return others[turn % len(others)]


def _with_peer(
    rng: random.Random, parameters: Mapping[str, str], kind: str, service: str, edges: Sequence[Edge]
) -> Mapping[str, str]:
    """The parameters with a service that is connected with the target, where one has to be named."""
    name = must_name(KINDS[kind]) if kind in KINDS else ""
    if not name or not edges:
        return parameters
    field = next(each.field for each in KINDS[kind].parameters if each.name == name)
    there = named(KINDS[kind], field, service, edges)
    return parameters if parameters.get(name) in there else {**parameters, name: rng.choice(sorted(there))}


def _balancing(kinds: Sequence[str]) -> Mapping[str, int]:
    """How often kinds come, so that there are enough that stay with their service to balance the others."""
    local = {kind for kind in kinds if _stays_local(kind)}
    others = len(set(kinds) - local)
    return dict.fromkeys(local, max(1, round(others / (_OTHERS * len(local))))) if local else {}


def _stays_local(kind: str) -> bool:
    return kind in KINDS and KINDS[kind].stays_local


def _passed_over(kind: str, idle: Collection[str]) -> Collection[str]:
    """The services that a fault of this kind would not show on."""
    return idle if kind in KINDS and not KINDS[kind].shows_idle else ()


class _Balance:
    """For how long each service is to be affected by the faults so far."""

    def __init__(
        self, rng: random.Random, services: Sequence[str], callers: Mapping[str, Collection[str]]
    ) -> None:
        # Where several are affected alike, chance decides.
        order = list(dict.fromkeys(services))
        self._affected_s = dict.fromkeys(rng.sample(order, len(order)), 0)
        self._callers = callers

    def least_affected(self, last: str) -> str:
        """The service that was affected least, but for the one that was hit last if there is another."""
        names = [name for name in self._affected_s if name != last] or list(self._affected_s)
        return min(names, key=self._affected_s.__getitem__)

    def waiting_for(self, service: str) -> set[str]:
        """The service and all that call it, directly or through others."""
        found, left = {service}, [service]
        while left:
            new = set(self._callers.get(left.pop(), ())) - found
            found |= new
            left += new
        return found

    def add(self, affected: Collection[str], duration_s: int) -> None:
        """Adds a fault, by the services that it affects."""
        for name in affected:
            if name in self._affected_s:
                self._affected_s[name] += duration_s + _WINDOW_S


class _Line:
    """Services in the order of their turns; one that is passed over keeps its place."""

    def __init__(self, order: Iterator[str], services: int) -> None:
        self._order = order
        self._round = services
        self._waiting: list[str] = []
        self.last = ""

    def take(self, passed_over: Collection[str]) -> str:
        """The first in the line that is not passed over; the first of all where all would be."""
        chosen = self._first(passed_over)
        if chosen is None:
            self._waiting += islice(self._order, 2 * self._round)
            chosen = self._first(passed_over) or self._first(()) or self.last
        self._waiting.remove(chosen)
        return self.take_this(chosen)

    def take_this(self, chosen: str) -> str:
        """Notes that a service was chosen out of its turn, which is still to come."""
        self.last = chosen
        return chosen

    def _first(self, passed_over: Collection[str]) -> str | None:
        left_out = {self.last, *passed_over}
        return next((name for name in self._waiting if name not in left_out), None)


def requests_per_journey(topology: Topology) -> dict[str, float]:
    """How many requests one journey makes of each service on the average, where all goes well.

    A cache spares its datastore some of those that are counted here.
    """
    load = dict.fromkeys(topology.services, 0.0)
    total = sum(journey.weight for journey in topology.journeys)
    for journey in topology.journeys:
        for step in journey.steps:
            _add_load(topology, load, topology.entry, step.endpoint, journey.weight / total)
    return load


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
