"""The detector of a deployment: one scorer for each service, or one for the whole system."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .adapters import NOT_READY, OfEachFeature, Scorer, Turned
from .inputs import Counts, Inputs, Names, Row
from .objects import Maker, Refused, find, seed_of
from .recognition import Recognised, as_detector


class Chance:
    """The state of the process's generators of random numbers, of Python and of NumPy where that is there.

    Libraries draw from them without being asked. So each service has a state of its own, or the scores of one
    would depend on which others were scored in between.

    Args:
        seed: what they start from.
    """

    def __init__(self, seed: int) -> None:
        self._python: Any = random.Random(seed).getstate()
        self._numpy: Any = None
        self._seed = seed

    def begin(self) -> None:
        """Goes on where `end` left."""
        random.setstate(self._python)
        if (numpy_random := _numpy_random()) is None:
            return
        if self._numpy is None:
            numpy_random.seed(self._seed % (1 << 32))
        else:
            numpy_random.set_state(self._numpy)

    def end(self) -> None:
        """Keeps what they are at."""
        self._python = random.getstate()
        if (numpy_random := _numpy_random()) is not None:
            self._numpy = numpy_random.get_state()


def _numpy_random() -> Any:
    return sys.modules.get("numpy.random")


class Watch:
    """What scores one service: its algorithm, how its windows become rows, and its random numbers."""

    def __init__(self, scorer: Scorer, chance: Chance, *, is_raw: bool) -> None:
        self.chance = chance
        self._scorer = scorer
        self._inputs = None if is_raw else Inputs()

    @property
    def counts(self) -> Counts:
        """What was done to its features so far."""
        counts = Counts() if self._inputs is None else self._inputs.counts
        counts.constant = self._scorer.left_out
        return counts

    def score(self, names: Names, values: Sequence[float]) -> float:
        """The score of a window, which is learned from then."""
        if self._inputs is not None and not self._inputs.is_settled:
            self.learn(names, values)
            return NOT_READY
        ((order, row),) = self._rows(names, values)
        score = self._scorer.score(order, row)
        self._scorer.learn(order, row)
        return score

    def score_only(self, names: Names, values: Sequence[float]) -> float:
        """The score of a window that nothing is learned from: what comes later is scored as without it."""
        if self._inputs is None:
            return self._scorer.score(names, tuple(values))
        if not self._inputs.is_settled:
            return NOT_READY
        return self._scorer.score(self._inputs.order, self._inputs.row(names, values))

    def learn(self, names: Names, values: Sequence[float]) -> None:
        """Learns from a window without a score."""
        for order, row in self._rows(names, values):
            self._scorer.learn(order, row)

    def _rows(self, names: Names, values: Sequence[float]) -> list[tuple[Names, Row]]:
        if self._inputs is None:
            return [(names, tuple(values))]
        rows = self._inputs.rows(names, values)
        return [(self._inputs.order, row) for row in rows]


class Detectors:
    """The detector of every service, made at its first window.

    Args:
        declaration: `object`, `params`, `pre`, `per`, `features`, `batch` and `seed`, of the host's
            declaration.

    Raises:
        Refused: the object is no detector.
    """

    def __init__(self, declaration: Mapping[str, Any]) -> None:
        self._declaration = declaration
        self._found = find(declaration["object"])
        self._pre = [(find(step["object"]), step["params"]) for step in declaration["pre"]]
        self._is_raw = declaration["features"] == "raw"
        self._watches: dict[str, Watch] = {}
        self._active: Watch | None = None
        recognised = self._recognised(declaration["seed"])
        if self._is_raw and recognised.style not in ("score_one", "function"):
            msg = (
                f'features = "raw" for an object with `{recognised.style}`, which takes vectors; leave it out'
            )
            raise Refused(msg)
        self.style, self.sign = recognised.style, declaration["sign"] or recognised.sign

    def watch(self, service: str) -> Watch:
        """The one of a service, with the generators of random numbers as it left them."""
        watch = self._watches.get(service)
        if watch is not None and watch is self._active:
            return watch
        if self._active is not None:
            self._active.chance.end()
            self._active = None
        if watch is None:
            watch = self._new_watch(service)
        else:
            watch.chance.begin()
        self._watches[service] = self._active = watch
        return watch

    def snapshot(self) -> Mapping[str, Any]:
        """All that was learned, by service."""
        if self._active is not None:
            self._active.chance.end()
        return self._watches

    def restore(self, watches: Mapping[str, Watch]) -> None:
        """Goes on from a snapshot."""
        self._watches, self._active = dict(watches), None

    def _new_watch(self, service: str) -> Watch:
        seed = seed_of(self._declaration["seed"], service)
        chance = Chance(seed)
        chance.begin()
        recognised = self._recognised(seed)
        make: Callable[[], Scorer] = recognised.scorer
        if self.sign != recognised.sign:
            make = partial(_turned, make)
        scorer = OfEachFeature(make) if self._declaration["per"] == "feature" else make()
        return Watch(scorer, chance, is_raw=self._is_raw)

    def _recognised(self, seed: int) -> Recognised:
        pre = [Maker(found, params, seed) for found, params in self._pre]
        maker = Maker(self._found, self._declaration["params"], seed)
        return as_detector(maker, pre, self._declaration["batch"])


def _turned(make: Callable[[], Scorer]) -> Scorer:
    return Turned(make())
