"""Which features of a window an algorithm is given: those of the signals that it declares, and no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from microservo.algorithms.declaration import Declaration, Signal

Float64 = NDArray[np.float64]

_SIGNAL_OF: Mapping[str, Signal] = {
    "metric": "metrics",
    "log": "logs",
    "request": "traces",
    "call": "traces",
    "consume": "traces",
    "internal": "traces",
}
_RECORDS_OF: Mapping[str, Signal] = {
    "telemetry/points": "metrics",
    "telemetry/logs": "logs",
    "telemetry/spans": "traces",
}
_KEPT_NAMES = 256


def signal_of(name: str) -> Signal | None:
    """The signal that a feature is made of; None for what is made of all."""
    return _RECORDS_OF.get(name) or _SIGNAL_OF.get(name.partition("/")[0])


class Delivery:
    """Chooses features for one algorithm. Windows mostly have the same names, so what was chosen is kept.

    Args:
        declaration: its `signals`, `only` and `per` count.
    """

    def __init__(self, declaration: Declaration) -> None:
        self._signals = frozenset(declaration.signals)
        self._only = declaration.only
        self._is_prefixed = declaration.per == "system"
        self._chosen: dict[tuple[str, ...], tuple[tuple[str, ...], NDArray[np.intp]]] = {}

    def __call__(self, names: Sequence[str], rows: Float64) -> tuple[tuple[str, ...], Float64]:
        """Names and columns of what is delivered.

        Args:
            names: of the features.
            rows: shape (windows, features).
        """
        key = tuple(names)
        chosen = self._chosen.get(key)
        if chosen is None:
            if len(self._chosen) >= _KEPT_NAMES:
                self._chosen.clear()
            places = [place for place, name in enumerate(key) if self.is_delivered(name)]
            chosen = tuple(key[place] for place in places), np.array(places, np.intp)
            self._chosen[key] = chosen
        return chosen[0], rows if len(chosen[0]) == len(key) else rows[:, chosen[1]]

    def is_delivered(self, name: str) -> bool:
        """Whether a feature is; of the system, by what stands behind the service."""
        if self._is_prefixed:
            name = name.partition("/")[2]
        signal = signal_of(name)
        if signal is not None and signal not in self._signals:
            return False
        return not self._only or any(fnmatchcase(name, pattern) for pattern in self._only)


def system_row(windows: Mapping[str, tuple[Sequence[str], Float64]]) -> tuple[tuple[str, ...], Float64]:
    """One row of the windows of all services with the same start, for `per = "system"`.

    Args:
        windows: service to names of its features, and values of shape (features,).

    Returns:
        Names `<service>/<feature>` in the order of the services' names, and values of shape (1, features).
    """
    services = sorted(windows)
    names = tuple(f"{service}/{name}" for service in services for name in windows[service][0])
    values = [windows[service][1] for service in services]
    return names, np.concatenate(values)[np.newaxis] if values else np.empty((1, 0))
