"""One detector per service of a run, made at the first window of the service."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from microservo.domain.detectors.base import Featuriser, PersistentDetector, Snapshot, all_features
from microservo.errors import InvalidInput
from schemas.records import FeatureWindow


class Watched(NamedTuple):
    """What one detector watches: a service is another one in another run."""

    run_id: str
    service: str


class DetectorBank:
    """The detectors of all services, fed window by window; only the order within a service matters.

    Args:
        make: a new detector for a service, by its name.
        featuriser: makes the features of a window.
    """

    def __init__(
        self, make: Callable[[str], PersistentDetector], *, featuriser: Featuriser = all_features
    ) -> None:
        self._make = make
        self._featuriser = featuriser
        self._detectors: dict[Watched, PersistentDetector] = {}

    def score(self, window: FeatureWindow) -> float:
        """Scores the window, then learns from it. Higher is more anomalous; NaN means not ready."""
        detector = self._of(window)
        x = self._featuriser(window)
        score = detector.score_one(x)
        detector.learn_one(x)
        return score

    def learn(self, window: FeatureWindow) -> None:
        """Learns from a window that an earlier process scored."""
        self._of(window).learn_one(self._featuriser(window))

    def forget(self, watched: Watched) -> None:
        """Drops the detector of a service that another process watches from now on."""
        self._detectors.pop(watched, None)

    def watched(self) -> list[Watched]:
        """Everything a detector exists for, sorted."""
        return sorted(self._detectors)

    def snapshot(self) -> Snapshot:
        """The memory of every detector, as plain JSON values."""
        return {
            "detectors": [
                {"run_id": run_id, "service": service, "memory": dict(detector.snapshot())}
                for (run_id, service), detector in sorted(self._detectors.items())
            ]
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Replaces all detectors by those of a snapshot.

        Raises:
            InvalidInput: the snapshot is not one of a bank with this algorithm.
        """
        try:
            entries = [
                (Watched(entry["run_id"], entry["service"]), entry["memory"])
                for entry in snapshot["detectors"]
            ]
        except (KeyError, TypeError) as error:
            msg = f"not a snapshot of detectors ({error!r}); expected 'detectors'; learn afresh"
            raise InvalidInput(msg) from error
        restored = {}
        for watched, memory in entries:
            restored[watched] = self._make(watched.service)
            restored[watched].restore(memory)
        self._detectors = restored

    def _of(self, window: FeatureWindow) -> PersistentDetector:
        watched = Watched(window.run_id, window.service)
        if watched not in self._detectors:
            self._detectors[watched] = self._make(window.service)
        return self._detectors[watched]
