"""What befalls one request without any fault: a pure function of the seed and the request's id.

The id comes with the request (`x-request-id`) and goes on, extended, with the calls that it makes. So the
same user's request meets the same in every run of the same seed, whatever happens to the system meanwhile.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from microservo.domain.topology import Endpoint

_Outcome = Literal["served", "broken", "busy", "reset", "crashed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a request.

    Args:
        cpu_s: processor time that it takes.
        wait_s: how long it waits before it is served.
        outcome: `broken` meets a broken record, `busy` is turned away, `reset` loses its connection,
            `crashed` ends the process.
        warning: which of the service's warnings is logged, as a part (0..1) of the list; None for none.
        makes: for each of the endpoint's calls, whether it is made.
    """

    cpu_s: float
    wait_s: float
    outcome: _Outcome
    warning: float | None
    makes: tuple[bool, ...]


def fate_of(endpoint: Endpoint, seed: str, request_id: str) -> Fate:
    """The fate of a request.

    Args:
        endpoint: that it is for.
        seed: of the service.
        request_id: its id.

    Example:
        >>> from microservo.domain.topology import Endpoint
        >>> fate_of(Endpoint(name="Get"), "7/cart", "41.0") == fate_of(Endpoint(name="Get"), "7/cart", "41.0")
        True
    """
    noise, chance = endpoint.noise, random.Random(f"{seed}/{endpoint.name}/{request_id}")
    return Fate(
        cpu_s=endpoint.cpu_ms / 1000 * chance.lognormvariate(0.0, noise.work_sigma),
        outcome=_outcome(endpoint, chance.random()),
        wait_s=_wait_s(endpoint, chance.random(), chance.expovariate(1.0)),
        warning=_part_below(noise.warning_share, chance.random()),
        makes=tuple(chance.random() < call.share for call in endpoint.calls),
    )


def _outcome(endpoint: Endpoint, drawn: float) -> _Outcome:
    noise = endpoint.noise
    shares: tuple[tuple[_Outcome, float], ...] = (
        ("broken", noise.error_share),
        ("busy", noise.busy_share),
        ("reset", noise.reset_share),
        ("crashed", noise.crash_share),
    )
    limit = 0.0
    for outcome, share in shares:
        limit += share
        if drawn < limit:
            return outcome
    return "served"


def _wait_s(endpoint: Endpoint, drawn: float, gap: float) -> float:
    return endpoint.noise.slow_ms / 1000 * gap if drawn < endpoint.noise.slow_share else 0.0


def _part_below(share: float, drawn: float) -> float | None:
    """Where in [0, share) it was drawn, as a part of it."""
    return drawn / share if drawn < share else None
