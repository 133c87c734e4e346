"""A recorded run through an algorithm at full speed: the same windows, the same work, the same fence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from microservo.algorithms.answers import TOO_FEW, Moment, Speaker
from microservo.algorithms.casework import Casework
from microservo.algorithms.detecting import Detecting
from microservo.algorithms.session import Session
from microservo.domain.alarms import decider_of
from microservo.domain.evaluation import Read, RunEvaluation
from microservo.domain.system_rows import SystemRows
from microservo.errors import AlgorithmEnded, AlgorithmFailed, BadAnswer, DeadlineExceeded
from schemas.records import AlgorithmDeployment, Case, Experiment, FeatureWindow, ServiceGraph

HISTORY_WINDOWS = 500
CASE_HISTORY_US = 600_000_000
_MARGIN_US = 300_000_000
"""What hosts keep and show if nothing else is set."""
_INSTANTS = 16
"""In a batch: few, so that a slow algorithm can be paused soon, and enough for its pipe to cost little."""
_BROKEN = (AlgorithmEnded, BadAnswer, DeadlineExceeded)

Advance = Callable[[float, float], None]
_Batch = list[tuple[FeatureWindow, int]]


class Recording(Protocol):
    """A recorded run, on a log or in a dataset."""

    run: Experiment
    name: str

    def windows(self) -> Iterator[tuple[FeatureWindow, int]]:
        """The first revisions of all windows in order of time, each with its partition."""

    def facts(self) -> Iterator[Read]:
        """What is known to be true, what was asked about, and what algorithms are."""

    def graphs(self) -> Iterator[ServiceGraph]:
        """Who called whom."""


def replay(
    recording: Recording,
    session: Session,
    deployment: AlgorithmDeployment,
    evaluation: RunEvaluation,
    *,
    until_us: int | None,
    windows: int,
    advance: Advance,
    hear: Callable[[Read], None] = lambda _: None,
) -> None:
    """Gives all windows to an algorithm, and what it says to an evaluation.

    Args:
        recording: of the run; its facts were given to the evaluation before.
        session: to the algorithm, open.
        deployment: what runs.
        evaluation: gathers what it says.
        until_us: windows that end later are left out; None for none.
        windows: how many there are.
        advance: told how many of them are done, before each question to the algorithm and while its answer
            is awaited; may take its time, which counts for no deadline.
        hear: told what the algorithm says, record by record.

    Raises:
        AlgorithmFailed: it broke down, and would have been started anew.
        Retryable: the broker stopped giving messages.
    """
    shown = _Shown(_batches(_until(recording.windows(), until_us)), windows, advance)
    session.attend_by(shown.step)
    if deployment.task == "detector":
        said = _detect(recording.run, session, deployment, shown)
    else:
        cases = [*evaluation.cases, *evaluation.oracle_cases(now_us=0)]
        for case in cases:
            evaluation.add(case)
        said = _answer(cases, recording, session, deployment, shown)
    for record in said:
        hear(record)
        evaluation.add(record)


class _Shown:
    """Batches of windows, as the progress goes on.

    Args:
        batches: all of them.
        windows: how many there are in all.
        advance: told how many of them are done.
    """

    def __init__(self, batches: Iterable[_Batch], windows: int, advance: Advance) -> None:
        self._batches = batches
        self._windows = windows
        self._advance = advance
        self._done = 0

    def step(self) -> None:
        """Whenever it may have to wait."""
        # What came while this reads has no label yet.
        self._advance(self._done, max(self._windows, self._done))

    def __iter__(self) -> Iterator[_Batch]:
        for batch in self._batches:
            yield batch
            self._done += len(batch)
            self.step()


def _detect(
    run: Experiment, session: Session, deployment: AlgorithmDeployment, batches: _Shown
) -> Iterator[Read]:
    rows = SystemRows(HISTORY_WINDOWS * run.window_us)
    rows.declare_gone(run.gone)
    detecting = Detecting(session, decider_of(deployment, run), rows)
    speaker = Speaker(deployment=deployment, run_id=run.run_id)
    for batch in batches:
        scored, decisions = detecting.take(batch)
        for each in scored:
            yield speaker.score(each, now_us=each.end_us, latency_us=0)
        for decision in decisions:
            yield speaker.alarm(decision.alarm, now_us=decision.alarm.opened_us, latency_us=0)


def _answer(
    cases: Iterable[Case],
    recording: Recording,
    session: Session,
    deployment: AlgorithmDeployment,
    batches: _Shown,
) -> Iterator[Read]:
    rows = SystemRows(CASE_HISTORY_US + _MARGIN_US)
    rows.declare_gone(recording.run.gone)
    casework = Casework(session.declaration, rows, CASE_HISTORY_US)
    for graph in recording.graphs():
        casework.add_graph(graph)
    waiting = sorted(cases, key=lambda case: (case.until_us, case.case_id), reverse=True)
    for batch in batches:
        for window, partition in batch:
            rows.add(window, partition)
            while waiting and casework.is_ready(waiting[-1]):
                yield _said_of(waiting.pop(), casework, session, deployment)


def _said_of(case: Case, casework: Casework, session: Session, deployment: AlgorithmDeployment) -> Read:
    speaker = Speaker(deployment=deployment, run_id=case.run_id)
    moment = Moment(came_us=case.until_us, clock=lambda: case.until_us)
    shown = casework.case(case)
    if shown is None:
        return speaker.failure(session, case, TOO_FEW, moment)
    try:
        return speaker.answer(session, case, shown, moment)
    except _BROKEN:
        raise
    except AlgorithmFailed as error:
        return speaker.failure(session, case, str(error), moment, shown)


def _until(
    windows: Iterator[tuple[FeatureWindow, int]], until_us: int | None
) -> Iterator[tuple[FeatureWindow, int]]:
    for window, partition in windows:
        if until_us is None or window.end_us <= until_us:
            yield window, partition


def _batches(windows: Iterator[tuple[FeatureWindow, int]]) -> Iterator[_Batch]:
    """The windows of some instants at a time, so that no service has more than that many among them."""
    batch: _Batch = []
    instants: set[int] = set()
    for window, partition in windows:
        if window.start_us not in instants and len(instants) == _INSTANTS:
            yield batch
            batch, instants = [], set()
        instants.add(window.start_us)
        batch.append((window, partition))
    if batch:
        yield batch
