"""What an algorithm says, as records of the contract: the same live and in a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from microservo.algorithms.casework import case_sha256
from microservo.algorithms.detecting import Scored
from microservo.algorithms.session import Case as Shown
from microservo.algorithms.session import Session
from microservo.domain import alarms
from schemas import records

TOO_FEW = "there are too few windows before it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a case came, and the clock that tells when it was answered; microseconds UTC."""

    came_us: int
    clock: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who says something, and in which run.

    Attributes:
        deployment: name and version of the algorithm.
        run_id: of the run.
    """

    deployment: records.AlgorithmDeployment
    run_id: str

    def score(self, scored: Scored, *, now_us: int, latency_us: int) -> records.AnomalyScore:
        """The score of a window."""
        return records.AnomalyScore(
            run_id=self.run_id,
            service=scored.service,
            start_us=scored.start_us,
            end_us=scored.end_us,
            revision=0,
            algorithm=self.deployment.algorithm,
            algorithm_version=self.deployment.version,
            score=scored.score,
            input_sha256=scored.input_sha256,
            scored_at_us=now_us,
            latency_us=latency_us,
        )

    def alarm(self, alarm: alarms.Alarm, *, now_us: int, latency_us: int) -> records.Alarm:
        """An alarm that opened or closed."""
        return records.Alarm(
            run_id=self.run_id,
            alarm_id=f"{self._name}/{alarm.service}/{alarm.opened_us}",
            algorithm=self.deployment.algorithm,
            algorithm_version=self.deployment.version,
            service=alarm.service,
            opened_us=alarm.opened_us,
            closed_us=alarm.closed_us,
            score=alarm.score,
            threshold=alarm.threshold,
            peak=alarm.peak,
            raised_at_us=now_us,
            latency_us=latency_us,
        )

    def case(self, case: alarms.Case, *, now_us: int) -> records.Case:
        """A case that opens with an alarm."""
        return records.Case(
            run_id=self.run_id,
            case_id=f"{self._name}-{case.opened_us}",
            origin="alarm",
            detector=self.deployment.algorithm,
            detector_version=self.deployment.version,
            service=case.service,
            opened_us=case.opened_us,
            until_us=case.opened_us,
            published_at_us=now_us,
        )

    def answer(
        self, session: Session, case: records.Case, shown: Shown, moment: Moment
    ) -> records.RootCause | records.FailureClass:
        """What a ranker or classifier says of a case when it is asked.

        Raises:
            AlgorithmFailed: it failed at it.
        """
        sha256 = case_sha256(shown, session.declaration)
        if self.deployment.task == "ranker":
            found = session.rank(shown)
            return self._root_cause(
                case,
                moment,
                ranks=found.services,
                candidates=len(shown.features),
                input_sha256=sha256,
                cpu_us=found.cpu_us,
            )
        classes = session.classify(shown)
        return self._failure_class(case, moment, classes=classes, input_sha256=sha256)

    def failure(
        self, session: Session, case: records.Case, reason: str, moment: Moment, shown: Shown | None = None
    ) -> records.RootCause | records.FailureClass:
        """That a ranker or classifier has no answer to a case, and why."""
        sha256 = "" if shown is None else case_sha256(shown, session.declaration)
        if self.deployment.task == "ranker":
            candidates = 0 if shown is None else len(shown.features)
            return self._root_cause(case, moment, candidates=candidates, input_sha256=sha256, reason=reason)
        return self._failure_class(case, moment, input_sha256=sha256, reason=reason)

    @property
    def _name(self) -> str:
        return f"{self.deployment.algorithm}@{self.deployment.version}"

    def _root_cause(
        self,
        case: records.Case,
        moment: Moment,
        *,
        candidates: int,
        input_sha256: str,
        ranks: tuple[str, ...] = (),
        reason: str = "",
        cpu_us: int = 0,
    ) -> records.RootCause:
        now_us = moment.clock()
        return records.RootCause(
            run_id=self.run_id,
            case_id=case.case_id,
            algorithm=self.deployment.algorithm,
            algorithm_version=self.deployment.version,
            ranks=ranks,
            candidates=candidates,
            reason=reason,
            input_sha256=input_sha256,
            ranked_at_us=now_us,
            latency_us=max(0, now_us - moment.came_us),
            cpu_us=cpu_us,
        )

    def _failure_class(
        self,
        case: records.Case,
        moment: Moment,
        *,
        input_sha256: str,
        classes: Mapping[str, float] | None = None,
        reason: str = "",
    ) -> records.FailureClass:
        now_us = moment.clock()
        found = sorted((classes or {}).items())
        return records.FailureClass(
            run_id=self.run_id,
            case_id=case.case_id,
            algorithm=self.deployment.algorithm,
            algorithm_version=self.deployment.version,
            kinds=tuple(kind for kind, _ in found),
            probabilities=tuple(probability for _, probability in found),
            reason=reason,
            input_sha256=input_sha256,
            classified_at_us=now_us,
            latency_us=max(0, now_us - moment.came_us),
        )
