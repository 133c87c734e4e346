"""What a detector is: two methods, as River has them, and a memory that can be stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from schemas.records import FeatureWindow

Features = Mapping[str, float]
"""One window as an algorithm sees it: feature name to value. Names may come and go; a value may be NaN."""

Snapshot = Mapping[str, Any]
"""A detector's memory as plain JSON values (no NaN, no infinity)."""

Featuriser = Callable[[FeatureWindow], Features]
"""Makes the features of a window; an algorithm may bring its own."""


class Detector(Protocol):
    """Scores one window, then learns from it: prequential, so that no window is judged by itself.

    The names and the direction are those of `river.anomaly.base.AnomalyDetector`, whose objects fit as they
    are. One object watches one service. It sees no label, no clock and no other service.
    """

    def score_one(self, x: Features) -> float:
        """How anomalous the window is: higher is more anomalous; NaN means not ready. Changes nothing."""

    def learn_one(self, x: Features) -> None:
        """Learns from the window; called once per window, after `score_one`."""


@runtime_checkable
class PersistentDetector(Detector, Protocol):
    """A detector whose memory survives the process."""

    def snapshot(self) -> Snapshot:
        """The memory; `restore` on a new object of the same parameters goes on from it as if nothing was."""

    def restore(self, snapshot: Snapshot) -> None:
        """Replaces the memory.

        Raises:
            InvalidInput: the snapshot is not one of this kind of detector.
        """


def is_control(detector: Detector) -> bool:
    """Whether a detector is one that knows nothing, on purpose: it says so by an attribute `is_control`."""
    return bool(getattr(detector, "is_control", False))


def all_features(window: FeatureWindow) -> Features:
    """The default featuriser: every feature of the window under its own name."""
    return dict(zip(window.names, window.values, strict=True))
