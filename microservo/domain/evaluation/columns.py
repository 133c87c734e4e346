"""Windows of one service in columns that grow: what is true of them, and what an algorithm said of them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microservo.domain.scoring.series import ANOMALOUS, MASKED, NORMAL, Flags, Float64, Int8, Int64
from schemas.records import AnomalyScore, LabelledWindow, Truth

_CODES: dict[Truth, int] = {"anomalous": ANOMALOUS, "normal": NORMAL, "masked": MASKED}
_BY_WEIGHT = np.array([NORMAL, MASKED, ANOMALOUS], np.int8)
"""Of several services at one instant, the truth furthest behind holds for all of them together."""
_WEIGHTS = np.array([1, 0, 2], np.int64)
"""The place of each truth there, by its code and one more."""
_NEVER_US = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthColumns:
    """The windows that count, in order of time, shape (windows,) each; `truth` as of `scoring.Series`."""

    start_us: Int64
    end_us: Int64
    truth: Int8

    def sha256(self) -> bytes:
        """Identity of the windows and what is true of them."""
        found = hashlib.sha256(self.start_us.astype("<i8").tobytes())
        found.update(self.truth.tobytes())
        return found.digest()


class Truths:
    """The newest truth of each window of one service."""

    def __init__(self) -> None:
        self._row: dict[int, int] = {}
        self._start_us = array("q")
        self._end_us = array("q")
        self._truth = array("b")
        self._revision = array("q")

    def add(self, window: LabelledWindow) -> bool:
        """Adds a revision of a window; whether it changed anything. The highest holds, not the last."""
        truth = _CODES[window.truth]
        row = self._row.get(window.start_us)
        if row is None:
            self._row[window.start_us] = len(self._start_us)
            self._start_us.append(window.start_us)
            self._end_us.append(window.end_us)
            self._truth.append(truth)
            self._revision.append(window.revision)
            return True
        if window.revision <= self._revision[row]:
            return False
        is_other = self._truth[row] != truth
        self._truth[row], self._revision[row] = truth, window.revision
        return is_other

    @property
    def revision(self) -> int:
        """The highest revision of any window."""
        return max(self._revision, default=0)

    def columns(self, from_us: int, until_us: int | None) -> TruthColumns:
        """The windows that end after one instant and by another."""
        start_us, end_us = np.array(self._start_us, np.int64), np.array(self._end_us, np.int64)
        kept = end_us > from_us
        if until_us is not None:
            kept &= end_us <= until_us
        rows = kept.nonzero()[0]
        rows = rows[start_us[rows].argsort(kind="stable")]
        return TruthColumns(
            start_us=start_us[rows], end_us=end_us[rows], truth=np.array(self._truth, np.int8)[rows]
        )


def of_system(services: Sequence[TruthColumns]) -> TruthColumns:
    """What is true of a whole system: anomalous where any service is, else masked where any is."""
    start_us = np.concatenate([np.empty(0, np.int64), *(each.start_us for each in services)])
    end_us = np.concatenate([np.empty(0, np.int64), *(each.end_us for each in services)])
    truth = np.concatenate([np.empty(0, np.int8), *(each.truth for each in services)])
    instants, first, place = np.unique(start_us, return_index=True, return_inverse=True)
    weight = np.zeros(len(instants), np.int64)
    np.maximum.at(weight, place, _WEIGHTS[truth + 1])
    return TruthColumns(start_us=instants, end_us=end_us[first], truth=_BY_WEIGHT[weight])


class Scores:
    """What one algorithm said of the windows of one service; a window that comes again counts no more."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._start_us = array("q")
        self._score = array("d")
        self._inputs: list[bytes] = []
        self._hash = hashlib.sha256()
        """Of all inputs, as long as they come in order of time."""
        self._is_ordered = True

    def add(self, score: AnomalyScore) -> bool:
        """Adds the score of a window; whether it is new."""
        if score.start_us in self._known:
            return False
        self._is_ordered = self._is_ordered and (not self._start_us or score.start_us > self._start_us[-1])
        self._known.add(score.start_us)
        self._start_us.append(score.start_us)
        self._score.append(score.score)
        self._inputs.append(score.input_sha256.encode())
        self._hash.update(self._inputs[-1])
        return True

    def aligned(self, truth: TruthColumns) -> Float64:
        """The score of each of these windows, NaN where there is none."""
        start_us, score = np.array(self._start_us, np.int64), np.array(self._score, np.float64)
        found = np.full(len(truth.start_us), np.nan)
        if not len(found) or not len(start_us):
            return found
        first = int(start_us.searchsorted(truth.start_us[0])) if self._is_ordered else 0
        # Nearly always all windows were scored, one after the other.
        if np.array_equal(start_us[first : first + len(found)], truth.start_us):
            return score[first : first + len(found)]
        place = truth.start_us.searchsorted(start_us)
        is_there = truth.start_us[np.minimum(place, len(found) - 1)] == start_us
        found[place[is_there]] = score[is_there]
        return found

    def input_sha256(self) -> bytes:
        """Identity of all that was given, in order of time."""
        if self._is_ordered:
            return self._hash.digest()
        order = np.array(self._start_us, np.int64).argsort(kind="stable").tolist()
        return hashlib.sha256(b"".join(self._inputs[place] for place in order)).digest()


def open_in(end_us: Int64, opened_us: Sequence[int], closed_us: Sequence[int | None]) -> Flags:
    """Whether an alarm was open at the end of each window, whose ends ascend."""
    if not opened_us:
        return np.zeros(len(end_us), np.bool_)
    edges = np.zeros(len(end_us) + 1, np.int64)
    closed = [_NEVER_US if each is None else each for each in closed_us]
    np.add.at(edges, end_us.searchsorted(np.array(opened_us, np.int64)), 1)
    np.add.at(edges, end_us.searchsorted(np.array(closed, np.int64)), -1)
    return np.asarray(edges.cumsum()[:-1] > 0)
