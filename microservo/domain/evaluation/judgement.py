"""How good one version of an algorithm is in a run: what it said, held against what was true."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from microservo.domain import scoring
from microservo.domain.evaluation.columns import Scores, TruthColumns, of_system, open_in
from microservo.domain.evaluation.deployments import Said
from microservo.domain.scoring.catalogue import Cost
from microservo.domain.scoring.detection import Ground, detection_on, ground_of
from microservo.domain.scoring.evaluation import Time, Values, evaluate_detection
from microservo.domain.scoring.series import MASKED, Flags, Float64, judged
from microservo.domain.system_rows import SYSTEM
from schemas.records import Alarm, AlgorithmTask, Case

_CHAINED: tuple[Time, ...] = ("chained",)

Board = Literal["detector", "system-detector"]


class Subject:
    """What detectors are judged on.

    Attributes:
        board: on which they stand: who scores instants of a whole system is no peer of who scores services.
        truths: by service, in order of their names.
        incidents: what they should have found.
        labels_sha256: identity of all that.
    """

    def __init__(
        self, board: Board, truths: Mapping[str, TruthColumns], incidents: Sequence[scoring.Incident]
    ) -> None:
        self.board = board
        self.truths = dict(sorted(truths.items()))
        self.incidents = incidents
        self.labels_sha256 = _sha256(
            [*((name, truth.sha256()) for name, truth in truths.items()), *map(_named, incidents)]
        )

    @cached_property
    def ground(self) -> Ground:
        """What is true, as metrics take it."""
        windows = judged([_unsaid(name, truth) for name, truth in self.truths.items()])
        return ground_of(windows, self.incidents)

    @cached_property
    def counts(self) -> Flags:
        """Which windows of all services are no masked ones."""
        return np.concatenate(
            [np.empty(0, np.bool_), *(truth.truth != MASKED for truth in self.truths.values())]
        )


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What all algorithms of a run are judged on.

    Attributes:
        run_id: of the run.
        name: what scenarios are called by.
        window_us: length of a window.
        delay_us: the first revision of a window is there so long after its end; nobody knows sooner.
        truths: of each service.
        label_revision: highest revision of the labels.
        incidents: what detectors should have found.
        faults: what rankers and classifiers should have explained.
        cases: by id, each with the fault that it is of.
        controls: detectors that know nothing; their alarms make no chain.
        is_final: whether the run is over and all that it wrote is here.
    """

    run_id: str
    name: str
    window_us: int
    delay_us: int
    truths: Mapping[str, TruthColumns]
    label_revision: int
    incidents: Sequence[scoring.Incident]
    faults: Sequence[scoring.Fault]
    cases: Mapping[str, tuple[Case, str | None]]
    controls: frozenset[str]
    is_final: bool

    @cached_property
    def services(self) -> Subject:
        """What detectors of services are judged on."""
        incidents = [each for each in self.incidents if each.service in self.truths]
        return Subject("detector", self.truths, incidents)

    @cached_property
    def whole(self) -> Subject:
        """What detectors of a whole system are judged on."""
        truth = of_system(list(self.truths.values()))
        return Subject("system-detector", {SYSTEM: truth}, _of_system(self.services.incidents))

    @cached_property
    def faults_sha256(self) -> str:
        """Identity of what rankers and classifiers are judged on."""
        return _sha256(map(_answered, self.faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found of one version of an algorithm.

    Attributes:
        windows: that counted.
        scored: of these, or of the cases, how many it had an answer for.
        cases: incidents or faults that counted.
        by_detector: of rankers, the chained metrics with the alarms of each detector.
        budgets: of detectors, what is found within several budgets of false alarms.
    """

    algorithm: str
    version: int
    task: AlgorithmTask
    scenario: str
    input_sha256: str
    labels_sha256: str
    label_revision: int
    windows: int
    scored: int
    cases: int
    evaluation: scoring.Evaluation
    by_detector: Mapping[str, Values] = field(default_factory=dict)
    budgets: Sequence[scoring.BudgetPoint] = ()


def judge(algorithm: str, version: int, said: Said, scope: Scope, cost: Cost) -> Judgement:
    """Judges one version of an algorithm."""
    if said.task == "detector":
        return _judge_detector(algorithm, version, said, scope, cost)
    return _judge_by_cases(algorithm, version, said, scope, cost)


def _judge_detector(algorithm: str, version: int, said: Said, scope: Scope, cost: Cost) -> Judgement:
    subject = scope.whole if set(said.scores) == {SYSTEM} else scope.services
    own: dict[str, list[Alarm]] = {}
    for raised in said.alarms.values():
        own.setdefault(raised.service, []).append(raised)
    scores, flags = [np.empty(0)], [np.empty(0, np.bool_)]
    for name, truth in subject.truths.items():
        scores.append(_aligned(said.scores.get(name), truth))
        flags.append(_flagged(own.get(name, []), truth))
    alarms = [
        scoring.Alarm(
            service=each.service,
            start_us=each.opened_us - scope.window_us,
            end_us=None if each.closed_us is None else each.closed_us - scope.window_us,
            # Event time and the cut that every window waits for: a replay knows no other clock.
            known_us=each.opened_us + scope.delay_us,
        )
        for each in said.alarms.values()
    ]
    score, is_flagged = np.concatenate(scores)[subject.counts], np.concatenate(flags)[subject.counts]
    found = detection_on(subject.ground, score, is_flagged, alarms)
    inputs = ((name, scores.input_sha256()) for name, scores in said.scores.items())
    return Judgement(
        algorithm=algorithm,
        version=version,
        task="detector",
        scenario=f"{scope.name}/{subject.board}",
        input_sha256=_sha256(inputs),
        labels_sha256=subject.labels_sha256,
        label_revision=scope.label_revision,
        windows=len(found.windows),
        scored=int(found.windows.is_ready.sum()),
        cases=int(found.found.counts.sum()),
        evaluation=evaluate_detection(found, cost=cost),
        budgets=scoring.budget_curve(found) if cost == "batch" else (),
    )


def _unsaid(service: str, truth: TruthColumns) -> scoring.Series:
    """The windows of a service before anybody said anything of them."""
    return scoring.Series(
        service=service,
        start_us=truth.start_us,
        end_us=truth.end_us,
        score=_aligned(None, truth),
        truth=truth.truth,
        flagged=_flagged([], truth),
    )


def _aligned(scores: Scores | None, truth: TruthColumns) -> Float64:
    return np.full(len(truth.start_us), np.nan) if scores is None else scores.aligned(truth)


def _flagged(alarms: Sequence[Alarm], truth: TruthColumns) -> Flags:
    return open_in(truth.end_us, [each.opened_us for each in alarms], [each.closed_us for each in alarms])


def _judge_by_cases(algorithm: str, version: int, said: Said, scope: Scope, cost: Cost) -> Judgement:
    task: AlgorithmTask = said.task
    by_detector: dict[str, Values] = {}
    if task == "ranker":
        rankings = [each for each in _rankings(said, scope) if each.detector not in scope.controls]
        evaluation = scoring.evaluate_ranker(
            scope.faults, [each.ranking for each in rankings], times=_times(rankings), cost=cost
        )
        by_detector = {
            name: scoring.evaluate_ranker(
                scope.faults, [each.ranking for each in rankings if each.detector == name], times=_CHAINED
            ).values
            for name in sorted({each.detector for each in rankings if each.detector})
        }
        given = {each.case_id: each.input_sha256 for each in said.root_causes.values()}
        answered = sum(bool(each.ranks) for each in said.root_causes.values())
    else:
        evaluation = scoring.evaluate_classifier(scope.faults, _classified(said, scope), cost=cost)
        given = {each.case_id: each.input_sha256 for each in said.failure_classes.values()}
        answered = sum(bool(each.kinds) for each in said.failure_classes.values())
    return Judgement(
        algorithm=algorithm,
        version=version,
        task=task,
        scenario=f"{scope.name}/{task}",
        input_sha256=_sha256((name, sha256.encode()) for name, sha256 in given.items()),
        labels_sha256=scope.faults_sha256,
        label_revision=scope.label_revision,
        windows=0,
        scored=answered,
        cases=len(scope.faults),
        evaluation=evaluation,
        by_detector=by_detector,
    )


@dataclass(frozen=True, slots=True)
class _Chained:
    """A ranking, and the detector whose alarm it was made for; empty for the oracle."""

    ranking: scoring.Ranking
    detector: str


def _rankings(said: Said, scope: Scope) -> list[_Chained]:
    found = []
    for each in said.root_causes.values():
        if each.case_id not in scope.cases:
            continue
        case, fault_id = scope.cases[each.case_id]
        ranking = scoring.Ranking(
            case_id=each.case_id,
            fault_id=fault_id,
            at_us=case.opened_us,
            ranks=each.ranks,
            is_oracle_time=case.origin == "oracle",
        )
        found.append(_Chained(ranking, f"{case.detector}@{case.detector_version}" if case.detector else ""))
    return found


def _classified(said: Said, scope: Scope) -> list[scoring.Classified]:
    """What was said of the oracle's cases: of an alarm's, a class says as much of the detector."""
    found = []
    for each in said.failure_classes.values():
        case, fault_id = scope.cases.get(each.case_id, (None, None))
        if case is None or case.origin != "oracle":
            continue
        ranked = sorted(
            zip(each.probabilities, each.kinds, strict=True), key=lambda pair: (-pair[0], pair[1])
        )
        found.append(
            scoring.Classified(
                case_id=each.case_id,
                fault_id=fault_id,
                at_us=case.opened_us,
                predicted=ranked[0][1] if ranked else "",
            )
        )
    return found


def _times(rankings: Sequence[_Chained]) -> list[Time]:
    """The kinds of time that a ranker was told at all."""
    found: list[Time] = []
    if any(each.ranking.is_oracle_time for each in rankings):
        found.append("oracle")
    if any(not each.ranking.is_oracle_time for each in rankings):
        found.append("chained")
    return found


def _of_system(incidents: Sequence[scoring.Incident]) -> list[scoring.Incident]:
    """One incident for each fault, wherever it is visible."""
    by_fault: dict[str, list[scoring.Incident]] = {}
    for each in incidents:
        by_fault.setdefault(each.fault_id, []).append(each)
    return [
        scoring.Incident(
            fault_id=fault_id,
            kind=own[0].kind,
            service=SYSTEM,
            severity=own[0].severity,
            start_us=min(each.start_us for each in own),
            end_us=max(each.end_us for each in own),
            applied_us=min(each.applied_us for each in own),
            effect_us=min(each.effect_us for each in own),
        )
        for fault_id, own in sorted(by_fault.items())
    ]


def _named(incident: scoring.Incident) -> tuple[str, bytes]:
    return f"{incident.fault_id}/{incident.service}", repr(incident).encode()


def _answered(fault: scoring.Fault) -> tuple[str, bytes]:
    known = (fault.kind, fault.severity, sorted(fault.answers), fault.candidates)
    return fault.fault_id, repr(known).encode()


def _sha256(parts: Iterable[tuple[str, bytes]]) -> str:
    """Identity of named parts, whatever their order."""
    found = hashlib.sha256()
    for name, part in sorted(parts):
        found.update(hashlib.sha256(name.encode()).digest())
        found.update(hashlib.sha256(part).digest())
    return found.hexdigest()
