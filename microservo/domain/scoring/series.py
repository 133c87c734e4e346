"""What an algorithm said of windows beside what was true of them, in columns: of a service, and pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from microservo.errors import InvalidInput

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Int8 = NDArray[np.int8]
Flags = NDArray[np.bool_]

Scalar = TypeVar("Scalar", bound=np.generic)

ANOMALOUS, NORMAL, MASKED = 1, 0, -1
"""The values of `Series.truth`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The windows of one service, or of the system, in ascending order of start, without two at one instant.

    Attributes:
        service: its name.
        start_us: shape (windows,), microseconds UTC.
        end_us: likewise, ascending too; each window ends after its start.
        score: higher is more anomalous; NaN means not ready.
        truth: `ANOMALOUS`, `NORMAL` or `MASKED`.
        flagged: whether an alarm of this algorithm was open in the window.
    """

    service: str
    start_us: Int64
    end_us: Int64
    score: Float64
    truth: Int8
    flagged: Flags

    def __post_init__(self) -> None:
        sizes = {len(each) for each in (self.start_us, self.end_us, self.score, self.truth, self.flagged)}
        if len(sizes) > 1:
            msg = f"columns of {self.service!r} have {sorted(sizes)} rows; expected as many in each"
            raise InvalidInput(msg)
        if (np.diff(self.start_us) <= 0).any():
            place = int((np.diff(self.start_us) <= 0).argmax()) + 1
            msg = (
                f"window {place} of {self.service!r} starts at {self.start_us[place]}, not after the one "
                f"before it, {self.start_us[place - 1]}; sort the windows and keep one revision of each"
            )
            raise InvalidInput(msg)
        if (self.end_us <= self.start_us).any() or (np.diff(self.end_us) <= 0).any():
            msg = f"windows of {self.service!r} end before their start or the end of the one before"
            raise InvalidInput(msg)
        if len(self.truth) and not MASKED <= self.truth.min() <= self.truth.max() <= ANOMALOUS:
            msg = f"truths {np.unique(self.truth)} of {self.service!r}; expected 1, 0 or -1 for masked"
            raise InvalidInput(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The windows that count, of all services, one service behind the other.

    Masked windows count for nobody: they are not here, and their neighbours follow one another. Windows
    without a score are here, and were never flagged.

    Attributes:
        services: names, ascending.
        bounds: shape (services + 1,); the windows of service i are `bounds[i]:bounds[i + 1]`.
        start_us: shape (windows,), ascending within a service; microseconds UTC.
        end_us: likewise.
        score: minus infinity where the algorithm was not ready, so that it ranks below everything.
        is_ready: whether there was a score.
        is_anomalous: the truth.
        is_flagged: whether an alarm was open.
    """

    services: tuple[str, ...]
    bounds: Int64
    start_us: Int64
    end_us: Int64
    score: Float64
    is_ready: Flags
    is_anomalous: Flags
    is_flagged: Flags

    def __len__(self) -> int:
        return len(self.score)

    def counted(self) -> Int64:
        """How many windows there are, shape (1 + services,): of all services first, then of each."""
        return np.concatenate(([len(self)], np.diff(self.bounds)))

    def service_of(self) -> Int64:
        """The place of each window's service in `services`, shape (windows,)."""
        return np.repeat(np.arange(len(self.services)), np.diff(self.bounds))

    def per_service(self, rows: Flags) -> Int64:
        """How many of some windows there are, shape (1 + services,): of all services first, then of each."""
        edges = self.bounds.tolist()
        own = [np.count_nonzero(rows[a:b]) for a, b in pairwise(edges)]
        return np.array([sum(own), *own], np.int64)

    def runs(self, rows: Flags) -> Runs:
        """The longest stretches of windows, one after another in one service, that are all among `rows`."""
        return runs(rows, self.bounds)

    def of_service(self, place: int) -> Judged:
        """The windows of one service, by its place in `services`."""
        rows = slice(int(self.bounds[place]), int(self.bounds[place + 1]))
        return Judged(
            services=self.services[place : place + 1],
            bounds=np.array([0, rows.stop - rows.start]),
            start_us=self.start_us[rows],
            end_us=self.end_us[rows],
            score=self.score[rows],
            is_ready=self.is_ready[rows],
            is_anomalous=self.is_anomalous[rows],
            is_flagged=self.is_flagged[rows],
        )

    def only(self, rows: Flags) -> Judged:
        """Some of the windows, as if there had been no others."""
        return Judged(
            services=self.services,
            bounds=np.concatenate(([0], np.cumsum(rows)))[self.bounds].astype(np.int64),
            start_us=self.start_us[rows],
            end_us=self.end_us[rows],
            score=self.score[rows],
            is_ready=self.is_ready[rows],
            is_anomalous=self.is_anomalous[rows],
            is_flagged=self.is_flagged[rows],
        )


@dataclass(frozen=True, slots=True)
class Runs:
    """Stretches of windows; `first` and `behind` (one behind the last) are places, shape (runs,)."""

    first: Int64
    behind: Int64

    def __len__(self) -> int:
        return len(self.first)


def judged(series: Sequence[Series]) -> Judged:
    """Pools series: masked windows leave, services and windows are put in order.

    A service may come in several pieces, in any order.

    Raises:
        InvalidInput: a window comes twice.
    """
    pieces: dict[str, list[Series]] = {}
    for each in series:
        pieces.setdefault(each.service, []).append(each)
    whole = [_whole(name, pieces[name]) for name in sorted(pieces)]
    truth = _pooled([each.truth for each in whole], np.int8)
    kept = truth != MASKED
    score = _pooled([each.score for each in whole], np.float64)[kept]
    is_flagged = _pooled([each.flagged for each in whole], np.bool_)[kept]
    windows = Judged(
        services=tuple(each.service for each in whole),
        bounds=np.cumsum([0, *(np.count_nonzero(each.truth != MASKED) for each in whole)]),
        start_us=_pooled([each.start_us for each in whole], np.int64)[kept],
        end_us=_pooled([each.end_us for each in whole], np.int64)[kept],
        score=score,
        is_ready=np.ones(len(score), np.bool_),
        is_anomalous=truth[kept] == ANOMALOUS,
        is_flagged=is_flagged,
    )
    return with_scores(windows, score, is_flagged)


def with_scores(windows: Judged, score: Float64, is_flagged: Flags) -> Judged:
    """The same windows as another algorithm saw them.

    Args:
        windows: that count.
        score: shape (windows,); NaN where it was not ready.
        is_flagged: whether an alarm was open, likewise.
    """
    is_ready = ~np.isnan(score)
    return replace(
        windows,
        score=np.where(is_ready, score, -np.inf),
        is_ready=is_ready,
        is_flagged=is_flagged & is_ready,
    )


def runs(rows: Flags, bounds: Int64) -> Runs:
    """See `Judged.runs`.

    Example:
        >>> found = runs(np.array([True, True, False, True, True]), np.array([0, 4, 5]))
        >>> found.first.tolist(), found.behind.tolist()
        ([0, 3, 4], [2, 4, 5])
    """
    begins, ends = rows.copy(), rows.copy()
    begins[1:] &= ~rows[:-1]
    ends[:-1] &= ~rows[1:]
    # A service that begins, and the one before it that ends, cut a stretch in two.
    inner = bounds[1:-1][(bounds[1:-1] > 0) & (bounds[1:-1] < len(rows))]
    begins[inner] |= rows[inner]
    ends[inner - 1] |= rows[inner - 1]
    return Runs(begins.nonzero()[0], ends.nonzero()[0] + 1)


def _whole(service: str, pieces: Sequence[Series]) -> Series:
    """One series from several of a service."""
    if len(pieces) == 1:
        return pieces[0]
    order = np.concatenate([each.start_us for each in pieces]).argsort(kind="stable")
    return Series(
        service=service,
        start_us=np.concatenate([each.start_us for each in pieces])[order],
        end_us=np.concatenate([each.end_us for each in pieces])[order],
        score=np.concatenate([each.score for each in pieces])[order],
        truth=np.concatenate([each.truth for each in pieces])[order],
        flagged=np.concatenate([each.flagged for each in pieces])[order],
    )


def _pooled(columns: Sequence[NDArray[Scalar]], kind: type[Scalar]) -> NDArray[Scalar]:
    return np.concatenate([np.empty(0, kind), *columns]).astype(kind, copy=False)
