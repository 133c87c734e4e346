"""The features of a window as an algorithm can take them: complete, finite, in an order that stays.

Libraries want vectors, and one NaN silences some of them for ever (River's OneClassSVM). Telemetry has
features that are undefined, that vanish and that are new. What is done about it is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from operator import itemgetter
from typing import Any

SETTLING_WINDOWS = 6
"""The first windows of a service seldom show all that it has: a meter is late, an endpoint not called yet."""
_KEPT_LAYOUTS = 256

Names = tuple[str, ...]
Row = tuple[float, ...]


@dataclass
class Counts:
    """What was done to features before an algorithm got them.

    Attributes:
        undefined: values that were NaN or infinite, replaced by the newest finite one, or 0.
        missing: values that did not come, replaced likewise.
        new: values of features that came first after the order was settled; left out.
        constant: features that never moved in what the newest fit was given; left out of it.
    """

    undefined: int = 0
    missing: int = 0
    new: int = 0
    constant: int = 0


@dataclass
class _Layout:
    """How the names of a window lie in the settled order.

    Attributes:
        pick: takes the values in that order; None where some are missing.
        places: of each name, its place in the order; None for a new one.
        new: how many are new.
    """

    pick: Callable[[Sequence[float]], Any] | None
    places: tuple[int | None, ...]
    new: int


class Inputs:
    """Makes rows of the windows of one service. The order of features is that of their names.

    Args:
        settling_windows: windows after which the features are settled: all that were seen until then.
    """

    def __init__(self, settling_windows: int = SETTLING_WINDOWS) -> None:
        self.counts = Counts()
        self.order: Names = ()
        self._settling_windows = settling_windows
        self._held: list[tuple[Names, Sequence[float]]] = []
        self._is_settled = False
        self._layouts: dict[Names, _Layout] = {}
        self._newest: Row = ()

    def rows(self, names: Names, values: Sequence[float]) -> list[Row]:
        """The rows that are ready with this window: its own, none before it is settled, then all that waited.

        Args:
            names: the window's features.
            values: likewise; NaN where undefined.
        """
        if self._is_settled:
            return [self._row(names, values)]
        self._held.append((names, values))
        if len(self._held) < self._settling_windows:
            return []
        self.order = tuple(sorted({name for names, _ in self._held for name in names}))
        self._newest = (0.0,) * len(self.order)
        self._is_settled = True
        held, self._held = self._held, []
        return [self._row(*window) for window in held]

    def row(self, names: Names, values: Sequence[float]) -> Row:
        """The row of a window once the features are settled, as if it had never come."""
        newest, counts = self._newest, replace(self.counts)
        row = self._row(names, values)
        self._newest, self.counts = newest, counts
        return row

    @property
    def is_settled(self) -> bool:
        """Whether a window gives its own row now."""
        return self._is_settled

    def _row(self, names: Names, values: Sequence[float]) -> Row:
        layout = self._layouts.get(names) or self._layout(names)
        self.counts.new += layout.new
        if layout.pick is not None:
            row: Row = layout.pick(values)
            # A sum is finite only if all terms are, and costs a tenth of looking at each.
            if isfinite(sum(row)):
                self._newest = row
                return row
        return self._imputed(layout, values)

    def _imputed(self, layout: _Layout, values: Sequence[float]) -> Row:
        row = list(self._newest)
        came = 0
        for place, value in zip(layout.places, values, strict=True):
            if place is None:
                continue
            came += 1
            if isfinite(value):
                row[place] = value
            else:
                self.counts.undefined += 1
        self.counts.missing += len(row) - came
        self._newest = tuple(row)
        return self._newest

    def _layout(self, names: Names) -> _Layout:
        if len(self._layouts) >= _KEPT_LAYOUTS:
            self._layouts.clear()
        place_of = {name: place for place, name in enumerate(self.order)}
        places = tuple(place_of.get(name) for name in names)
        index_of = {name: index for index, name in enumerate(names)}
        pick = None
        if all(name in index_of for name in self.order):
            pick = _picker([index_of[name] for name in self.order])
        layout = self._layouts[names] = _Layout(pick, places, places.count(None))
        return layout


def _picker(indices: Sequence[int]) -> Callable[[Sequence[float]], Any]:
    """Gives the values at some places as a tuple."""
    if len(indices) > 1:
        return itemgetter(*indices)
    if not indices:
        return _nothing
    return _One(indices[0])


def _nothing(values: Sequence[float]) -> Row:
    del values
    return ()


@dataclass
class _One:
    """Picks a single value; `itemgetter` would give it bare."""

    index: int

    def __call__(self, values: Sequence[float]) -> Row:
        return (values[self.index],)
