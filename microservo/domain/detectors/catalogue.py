"""The algorithms that are shipped, by the name they are deployed under."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from microservo.domain.detectors.base import PersistentDetector
from microservo.domain.detectors.n_sigma import NSigma
from microservo.domain.detectors.random_control import RandomControl
from microservo.errors import InvalidInput

ALGORITHMS: Mapping[str, Callable[[int], PersistentDetector]] = MappingProxyType(
    {
        "n-sigma": lambda _seed: NSigma(),
        "random": lambda seed: RandomControl(seed=seed),
    }
)
"""Name of an algorithm to a maker, which is given a seed."""


def make_detector(algorithm: str, *, seed: int = 0, service: str = "") -> PersistentDetector:
    """A new detector for one service; services get different seeds, the same ones in every process.

    Raises:
        InvalidInput: there is no such algorithm.
    """
    if algorithm not in ALGORITHMS:
        msg = f"unknown algorithm {algorithm!r}; expected one of {', '.join(sorted(ALGORITHMS))}"
        raise InvalidInput(msg)
    digest = hashlib.blake2b(f"{seed}/{service}".encode(), digest_size=8).digest()
    return ALGORITHMS[algorithm](int.from_bytes(digest, "big") >> 1)
