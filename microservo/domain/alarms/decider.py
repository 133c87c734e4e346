"""All that one algorithm's scores lead to: a threshold from fault-free time, then alarms, then cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from microservo.domain.alarms.alarms import Alarm, AlarmKeeper
from microservo.domain.alarms.calibration import Calibration, NoThreshold, Threshold
from microservo.domain.alarms.cases import Case, CaseKeeper
from schemas.records import AlgorithmDeployment, Experiment

LEAST_SCORES = 30
"""Of all services together, to find a threshold in: with fewer there is none, and no alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an instant led to."""

    alarm: Alarm
    case: Case | None = None


class AlarmDecider:
    """Takes scores as they come, and decides instant by instant once the scores of all services are there.

    So it is the same whatever order the services' scores came in.

    Args:
        algorithm: name of the detector.
        calibration: finds the threshold in the scores of windows that end by `fault_free_until_us`.
        fault_free_until_us: nothing is wrong until then, as the run declares; no alarm comes from before.
        threshold: where the algorithm brings its own.
    """

    def __init__(
        self,
        algorithm: str,
        *,
        calibration: Calibration,
        fault_free_until_us: int,
        threshold: Threshold | None = None,
    ) -> None:
        self._calibration = calibration
        self._fault_free_until_us = fault_free_until_us
        self._threshold = threshold
        self._is_calibrated = threshold is not None
        self._why_none = ""
        self._alarms = AlarmKeeper()
        self._cases = CaseKeeper(algorithm)
        self._waiting: dict[int, dict[str, float]] = {}

    @property
    def threshold(self) -> Threshold | None:
        """The threshold; None before there is one, or where too few scores were there to find it in."""
        return self._threshold

    @property
    def why_none(self) -> str:
        """Why there is no threshold, and so no alarm; empty where there is one, or may still be."""
        return self._why_none

    @property
    def warning(self) -> str:
        """How many false alarms may come where few scores were there to find the threshold in; or empty."""
        return "" if self._threshold is None else self._calibration.warning(self._threshold)

    def end_fault_free(self, at_us: int) -> None:
        """Ends the fault-free time earlier than was declared; too late once there is a threshold."""
        self._fault_free_until_us = min(self._fault_free_until_us, at_us)

    def snapshot(self) -> dict[str, Any]:
        """All that it knows, as plain values: `restore` of another one goes on as if nothing was."""
        return {
            "calibration": self._calibration.snapshot(),
            "threshold": None if self._threshold is None else asdict(self._threshold),
            "is_calibrated": self._is_calibrated,
            "why_none": self._why_none,
            "alarms": self._alarms.snapshot(),
            "waiting": [[end_us, scores] for end_us, scores in sorted(self._waiting.items())],
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Goes on from a snapshot."""
        self._calibration.restore(snapshot["calibration"])
        threshold = snapshot["threshold"]
        self._threshold = None if threshold is None else Threshold(**threshold)
        self._is_calibrated = snapshot["is_calibrated"]
        self._why_none = snapshot["why_none"]
        self._alarms.restore(snapshot["alarms"])
        self._cases.restore(self._alarms.open_services)
        self._waiting = {end_us: dict(scores) for end_us, scores in snapshot["waiting"]}

    def add(self, service: str, end_us: int, score: float) -> None:
        """Takes the score of a window, by the window's end."""
        self._waiting.setdefault(end_us, {})[service] = score

    def advance(self, complete_us: int) -> Iterator[Decision]:
        """What follows from the windows that end by `complete_us`: those of all services are there."""
        if complete_us <= self._fault_free_until_us:
            return
        fault_free = [end_us for end_us in self._waiting if end_us <= self._fault_free_until_us]
        for end_us in fault_free:
            for service, score in self._waiting.pop(end_us).items():
                self._calibration.add(service, score)
        if not self._is_calibrated:
            self._calibrate()
        for end_us in sorted(each for each in self._waiting if each <= complete_us):
            yield from self._decide(end_us, self._waiting.pop(end_us))

    def _calibrate(self) -> None:
        self._is_calibrated = True
        found = self._calibration.threshold(LEAST_SCORES)
        if isinstance(found, NoThreshold):
            self._why_none = found.reason
        else:
            self._threshold = found

    def _decide(self, end_us: int, scores: dict[str, float]) -> Iterator[Decision]:
        if self._threshold is None:
            return
        for service, score in sorted(scores.items()):
            alarm = self._alarms.judge(service, end_us, score, self._threshold.of(service))
            if alarm is not None:
                yield Decision(alarm=alarm, case=self._cases.take(alarm))


def decider_of(deployment: AlgorithmDeployment, run: Experiment) -> AlarmDecider:
    """What makes alarms of the scores of a deployed detector in a run."""
    own = deployment.threshold
    return AlarmDecider(
        deployment.algorithm,
        calibration=Calibration(alarms_per_hour=deployment.alarms_per_hour, window_us=run.window_us),
        fault_free_until_us=fault_free_until_us(run),
        threshold=None if own is None else Threshold.fixed(own),
    )


def fault_free_until_us(run: Experiment) -> int:
    """Until when nothing was injected into a run, as it declares; its start where it declares nothing."""
    return run.started_at_us if run.fault_free_until_us is None else run.fault_free_until_us
