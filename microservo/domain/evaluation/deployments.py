"""What one version of a deployed algorithm said in a run, and what is known of it besides."""

from __future__ import annotations

from dataclasses import dataclass, field

from microservo.domain.deployments import NO_FENCE
from microservo.domain.evaluation.columns import Scores
from schemas.records import (
    Alarm,
    AlgorithmDeployment,
    AlgorithmState,
    AlgorithmTask,
    AnomalyScore,
    Evaluation,
    FailureClass,
    RootCause,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What is said of an algorithm beside its metrics.

    Attributes:
        is_control: whether it knows nothing, on purpose.
        is_fenced: whether it ran where it can reach nothing.
        cpu_us: microseconds of processor time that it has used.
        peak_memory_bytes: most bytes of memory that it has used.
        latency_p99_us: 99 of 100 scores came so many microseconds after the window; None where not live.
    """

    is_control: bool = False
    is_fenced: bool = False
    cpu_us: int = 0
    peak_memory_bytes: int = 0
    latency_p99_us: int | None = None


@dataclass(slots=True)
class Said:
    """What one version said; each window, alarm and case counts once, however often it comes.

    Attributes:
        scores: by service.
        alarms: by id, as far as they have come: one that closed stays closed.
        root_causes: by case.
        failure_classes: by case.
    """

    scores: dict[str, Scores] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    root_causes: dict[str, RootCause] = field(default_factory=dict)
    failure_classes: dict[str, FailureClass] = field(default_factory=dict)

    @property
    def task(self) -> AlgorithmTask:
        """What it does, by what it said."""
        if self.root_causes:
            return "ranker"
        return "classifier" if self.failure_classes else "detector"

    def add(self, record: AnomalyScore | Alarm | RootCause | FailureClass) -> bool:
        """Adds a record; whether it changed anything."""
        if isinstance(record, AnomalyScore):
            return self.scores.setdefault(record.service, Scores()).add(record)
        if isinstance(record, Alarm):
            known = self.alarms.get(record.alarm_id)
            is_new = known is None or (known.closed_us is None and record.closed_us is not None)
            if is_new:
                self.alarms[record.alarm_id] = record
            return is_new
        if isinstance(record, RootCause):
            return self.root_causes.setdefault(record.case_id, record) is record
        return self.failure_classes.setdefault(record.case_id, record) is record


class KnownTraits:
    """The traits of deployments by what lies on the topics of algorithms and of evaluations."""

    def __init__(self) -> None:
        self._deployments: dict[str, AlgorithmDeployment] = {}
        self._states: dict[str, AlgorithmState] = {}
        self._earlier: dict[str, Evaluation] = {}

    def add(self, record: AlgorithmDeployment | AlgorithmState | Evaluation) -> None:
        """Adds what an algorithm is, how far it has come, or an evaluation of an earlier process.

        A deployment that was removed is still known from its evaluation.
        """
        if isinstance(record, AlgorithmDeployment):
            self._deployments[record.algorithm] = record
        elif isinstance(record, AlgorithmState):
            self._states[record.deployment_id] = record
        else:
            self._earlier[f"{record.algorithm}@{record.algorithm_version}"] = record

    def of(self, algorithm: str, version: int) -> Traits:
        """The traits of a version."""
        name = f"{algorithm}@{version}"
        deployment, state = self._deployments.get(algorithm), self._states.get(name)
        earlier = self._earlier.get(name)
        traits = Traits()
        if earlier is not None:
            traits = Traits(
                is_control=earlier.is_control,
                is_fenced=earlier.is_fenced,
                cpu_us=earlier.cpu_us,
                peak_memory_bytes=earlier.peak_memory_bytes,
                latency_p99_us=earlier.latency_p99_us,
            )
        holds = () if state is None else state.holds
        return Traits(
            is_control=traits.is_control if deployment is None else deployment.is_control,
            # What really held counts more than what was asked for.
            is_fenced=holds[0] != NO_FENCE
            if holds
            else traits.is_fenced
            if deployment is None
            else deployment.is_fenced,
            cpu_us=traits.cpu_us if state is None else state.cpu_us,
            peak_memory_bytes=traits.peak_memory_bytes if state is None else state.peak_memory_bytes,
            latency_p99_us=traits.latency_p99_us if state is None else state.latency_p99_us,
        )
