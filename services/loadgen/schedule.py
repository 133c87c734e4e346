"""Who comes when: a pure function of the seed."""

from __future__ import annotations

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
    """

    number: int
    gap: float
    journey: Journey
    user: str
    pace: float


def arrivals(journeys: Sequence[Journey], seed: int) -> Iterator[Arrival]:
    """The arrivals without end; a Poisson process at whatever rate the gaps are divided by.

    Raises:
        InvalidInput: there are no journeys.
    """
    if not journeys:
        msg = "the topology has no journeys, so there is nothing to do; add [[journeys]] to it"
        raise InvalidInput(msg)
    return _draw(journeys, random.Random(f"{seed}/arrivals"))


def _draw(journeys: Sequence[Journey], chance: random.Random) -> Iterator[Arrival]:
    weights = [journey.weight for journey in journeys]
    for number in itertools.count():
        yield Arrival(
            number=number,
            gap=chance.expovariate(1.0),
            journey=chance.choices(journeys, weights)[0],
            user=f"user-{chance.randrange(_USERS)}",
            pace=chance.uniform(0.5, 1.5),
        )
