"""Algorithms that know nothing, on purpose: a metric that one of them does well on measures nothing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

_RANGE = 2**53


class Random:
    """A uniform score in [0, 1), drawn from the seed and the window.

    The draw is a hash rather than the next number of a generator: a window that is scored twice, as after a
    restart, gets the same score, and there is nothing to remember.

    Args:
        seed: another seed, other scores.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def score_one(self, x: Mapping[str, float]) -> float:
        return draw(self._seed, sorted(x.items()))

    def learn_one(self, x: Mapping[str, float]) -> None:
        """Nothing is ever learned."""


class Constant:
    """The same score for each window: by itself `always` or `never`, with a seed one for each service.

    Args:
        score: of every window; None draws one from the seed.
        seed: another seed, another score.
    """

    def __init__(self, score: float | None = None, seed: int = 0) -> None:
        self._score = draw(seed, []) if score is None else score

    def score_one(self, x: Mapping[str, float]) -> float:
        del x
        return self._score

    def learn_one(self, x: Mapping[str, float]) -> None:
        """Nothing is ever learned."""


class Majority:
    """The kind that most of the cases were of that it learned from; of several, the first by name."""

    def fit(self, table: Iterable[Iterable[float]], kinds: Iterable[str]) -> None:
        del table
        counts = Counter(map(str, kinds))
        self.classes_ = sorted(counts)
        self._most = max(self.classes_, key=lambda kind: counts[kind])

    def predict_proba(self, table: Iterable[Iterable[float]]) -> list[list[float]]:
        return [[float(kind == self._most) for kind in self.classes_] for _ in table]


class RandomClassifier:
    """Probabilities drawn from the seed and the case.

    Args:
        random_state: another seed, other probabilities.
    """

    def __init__(self, random_state: int = 0) -> None:
        self._seed = random_state

    def fit(self, table: Iterable[Iterable[float]], kinds: Iterable[str]) -> None:
        del table
        self.classes_ = sorted({str(kind) for kind in kinds})

    def predict_proba(self, table: Iterable[Iterable[float]]) -> list[list[float]]:
        return [self._of([float(value) for value in row]) for row in table]

    def _of(self, row: Sequence[float]) -> list[float]:
        drawn = [draw(self._seed, [kind, *row]) for kind in self.classes_]
        return [each / sum(drawn) for each in drawn]


def draw(seed: int, values: object) -> float:
    """A number in [0, 1) that depends on all of these."""
    digest = hashlib.blake2b(json.dumps([seed, values]).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / _RANGE
