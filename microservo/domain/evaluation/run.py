"""All that lies on the topics of one run, gathered record by record, and how good its algorithms are by that.

A record that comes twice counts once, and versions count by their number, so what is found depends on what
lies on the topics and not on when it came: an evaluation that goes on while the run does, one that was
killed and began anew, and a replay end at the same digits.
"""

from __future__ import annotations

from collections.abc import Iterator

from microservo.domain.alarms import fault_free_until_us
from microservo.domain.evaluation.columns import Truths
from microservo.domain.evaluation.deployments import KnownTraits, Said
from microservo.domain.evaluation.facts import FaultFacts
from microservo.domain.evaluation.judgement import Scope, judge
from microservo.domain.evaluation.records import evaluation_record
from microservo.domain.scoring.catalogue import Cost
from schemas import records

_KIND = "service"
"""Windows of hosts and of load generators are no service's, and count for nobody."""

Read = (
    records.LabelledWindow
    | records.ServiceFault
    | records.FaultEffect
    | records.FaultVerdict
    | records.AnomalyScore
    | records.Alarm
    | records.Case
    | records.RootCause
    | records.FailureClass
    | records.AlgorithmDeployment
    | records.AlgorithmState
    | records.Evaluation
    | records.Experiment
)
"""What is gathered."""


class RunEvaluation:
    """What is known of one run.

    All algorithms are judged on the same windows: those behind the run's declared fault-free time, in which
    thresholds are found, that have a label and were final when the run ended. A window for which an algorithm
    has no score counts as one that it did not flag, whether it was not ready, not deployed yet, or gone.

    Args:
        run_id: records of other runs are passed over.
        name: what scenarios are called by, if not by the run.
        from_us: windows that end by then are left out, too.
        until_us: windows that end later are left out; None for none.
    """

    def __init__(self, run_id: str, *, name: str = "", from_us: int = 0, until_us: int | None = None) -> None:
        self.run_id = run_id
        self._name = name or run_id
        self._from_us = from_us
        self._until_us = until_us
        self._run: records.Experiment | None = None
        self._truths: dict[str, Truths] = {}
        self._facts = FaultFacts()
        self._cases: dict[str, records.Case] = {}
        self._said: dict[tuple[str, int], Said] = {}
        self._traits = KnownTraits()
        self._changed: set[tuple[str, int]] = set()

    @property
    def run(self) -> records.Experiment | None:
        """The run's newest record, as far as it has come."""
        return self._run

    @property
    def cases(self) -> tuple[records.Case, ...]:
        """All that rankers and classifiers were asked about, by id."""
        return tuple(case for _, case in sorted(self._cases.items()))

    @property
    def changed(self) -> frozenset[tuple[str, int]]:
        """Algorithms and versions whose evaluation may have changed since the last one."""
        return frozenset(self._changed)

    def add(self, record: Read) -> None:
        """Gathers one record."""
        if isinstance(record, records.AlgorithmDeployment):
            self._traits.add(record)
        elif record.run_id != self.run_id:
            return
        elif isinstance(record, records.AlgorithmState | records.Evaluation):
            self._traits.add(record)
        elif isinstance(record, records.Experiment):
            self._run = record
        elif isinstance(
            record, records.AnomalyScore | records.Alarm | records.RootCause | records.FailureClass
        ):
            key = (record.algorithm, record.algorithm_version)
            if self._said.setdefault(key, Said()).add(record):
                self._changed.add(key)
        elif self._add_truth(record):
            self._changed |= self._said.keys()

    def oracle_cases(self, *, now_us: int) -> list[records.Case]:
        """The oracle's cases that were not published yet."""
        if self._run is None:
            return []
        found = self._facts.oracle_cases(self.run_id, self._run.window_us, now_us=now_us)
        return [each for each in found if each.case_id not in self._cases]

    def evaluations(
        self, *, at_us: int, cost: Cost = "live", is_final: bool = False
    ) -> Iterator[records.Evaluation]:
        """How good each algorithm is, by name and version; of all with `batch`, else of those that changed.

        Args:
            at_us: written into them.
            cost: `batch` for all metrics, breakdowns and intervals.
            is_final: whether the run is over and all that it wrote was gathered.
        """
        if self._run is None or not self._truths:
            return
        changed, self._changed = set(self._changed), set()
        scope = self._scope(self._run, is_final=is_final)
        for algorithm, version in sorted(self._said if cost == "batch" else changed):
            judgement = judge(algorithm, version, self._said[algorithm, version], scope, cost)
            yield evaluation_record(judgement, scope, self._traits.of(algorithm, version), at_us=at_us)

    def _add_truth(
        self,
        record: records.LabelledWindow
        | records.ServiceFault
        | records.FaultEffect
        | records.FaultVerdict
        | records.Case,
    ) -> bool:
        if isinstance(record, records.LabelledWindow):
            if record.service_kind != _KIND:
                return False
            return self._truths.setdefault(record.service, Truths()).add(record)
        if isinstance(record, records.Case):
            return self._cases.setdefault(record.case_id, record) is record
        return self._facts.add(record)

    def _scope(self, run: records.Experiment, *, is_final: bool) -> Scope:
        from_us, until_us = max(fault_free_until_us(run), self._from_us), self._end_us(run)
        columns = {name: truths.columns(from_us, until_us) for name, truths in sorted(self._truths.items())}
        cases = {
            case_id: (case, self._facts.fault_of(case, run.window_us))
            for case_id, case in self._cases.items()
        }
        return Scope(
            run_id=self.run_id,
            name=self._name,
            window_us=run.window_us,
            delay_us=run.first_cut_us,
            truths=columns,
            label_revision=max(truths.revision for truths in self._truths.values()),
            incidents=self._facts.incidents(),
            faults=self._facts.faults(columns.keys(), from_us, until_us),
            cases=cases,
            controls=frozenset(
                f"{case.detector}@{case.detector_version}"
                for case in self._cases.values()
                if self._traits.of(case.detector, case.detector_version).is_control
            ),
            is_final=is_final,
        )

    def _end_us(self, run: records.Experiment) -> int | None:
        """Windows that end later are left out.

        What was not final when the run ended has labels that wait for more, and hosts that are gone may never
        have scored it.
        """
        if run.finished_at_us is None:
            return self._until_us
        final_us = run.finished_at_us - run.final_cut_us
        return final_us if self._until_us is None else min(final_us, self._until_us)
