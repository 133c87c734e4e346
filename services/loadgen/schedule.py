"""Who comes when: a pure function of the seed."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from microservo.domain.topology import Journey
from microservo.errors import InvalidInput

_USERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One user who comes.

    Args:
        number: of those who have come, from 0 on.
        gap: since the arrival before, as a multiple of the mean gap (1 / rate); exponential with mean 1.
        user: the key of the user's cart.
        pace: what this user's think times are multiplied by.
        trace_ids: of the requests, one for each step of the journey: the same request of another run with the
            same seed has the same, so that the two can be compared.
    """

    number: int
    gap: float
    journey: Journey
    user: str
    pace: float
    trace_ids: tuple[int, ...]


def arrivals(journeys: Sequence[Journey], seed: int) -> Iterator[Arrival]:
    """The arrivals without end; a Poisson process at whatever rate the gaps are divided by.

    Raises:
        InvalidInput: there are no journeys.
    """
    if not journeys:
        msg = "the topology has no journeys, so there is nothing to do; add [[journeys]] to it"
        raise InvalidInput(msg)
    return _draw(journeys, seed, random.Random(f"{seed}/arrivals"))


def _draw(journeys: Sequence[Journey], seed: int, chance: random.Random) -> Iterator[Arrival]:
    weights = [journey.weight for journey in journeys]
    for number in itertools.count():
        gap = chance.expovariate(1.0)
        journey = chance.choices(journeys, weights)[0]
        yield Arrival(
            number=number,
            gap=gap,
            journey=journey,
            user=f"user-{chance.randrange(_USERS)}",
            pace=chance.uniform(0.5, 1.5),
            trace_ids=tuple(_trace_id(seed, number, step) for step in range(len(journey.steps))),
        )


def _trace_id(seed: int, number: int, step: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{number}/{step}".encode(), digest_size=16).digest()
    return int.from_bytes(digest)
