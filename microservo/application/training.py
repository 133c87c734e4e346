"""The labelled cases of a recorded run: what a classifier is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from microservo.algorithms.casework import Casework
from microservo.algorithms.declaration import Declaration
from microservo.algorithms.training import Lesson, Training
from microservo.application.replay import CASE_HISTORY_US, Recording
from microservo.domain.evaluation.facts import FaultFacts
from microservo.domain.system_rows import SystemRows
from microservo.errors import InvalidInput
from schemas.records import Case, FaultEffect, FaultVerdict, ServiceFault

_LEAST_KINDS = 2


def training_of(recording: Recording, declaration: Declaration) -> Training:
    """A lesson for each fault that was seen: as an alarm would show it at once, and as it was in the end.

    Args:
        recording: of the run, with its labels.
        declaration: of the classifier.

    Raises:
        InvalidInput: there are no faults of two kinds in it.
    """
    facts = FaultFacts()
    for record in recording.facts():
        if isinstance(record, ServiceFault | FaultEffect | FaultVerdict):
            facts.add(record)
    lessons = list(_lessons(recording, facts, declaration))
    kinds = sorted({each.kind for each in lessons})
    if len(kinds) < _LEAST_KINDS:
        msg = (
            f"{recording.name} has {len(lessons)} cases of {len(kinds)} kinds ({', '.join(kinds) or 'none'}) "
            "to train on; expected faults of two kinds at least that were seen in its telemetry"
        )
        raise InvalidInput(msg)
    return Training(run_id=recording.run.run_id, lessons=lessons)


def _lessons(recording: Recording, facts: FaultFacts, declaration: Declaration) -> Iterator[Lesson]:
    window_us = recording.run.window_us
    cases = list(facts.oracle_cases(recording.run.run_id, window_us, now_us=0))
    waiting = [each for case in cases for each in _shown(case, window_us)]
    waiting.sort(key=lambda case: (case.until_us, case.case_id), reverse=True)
    begin_us = min((case.opened_us for case in cases), default=0) - CASE_HISTORY_US
    rows = SystemRows(2 * CASE_HISTORY_US)
    casework = Casework(declaration, rows, CASE_HISTORY_US)
    for window, partition in recording.windows():
        if window.start_us < begin_us:
            continue
        rows.add(window, partition)
        while waiting and casework.is_ready(waiting[-1]):
            yield from _lesson(waiting.pop(), casework, facts, window_us)


def _shown(case: Case, window_us: int) -> Iterator[Case]:
    """A case when the first window in which something can be seen is there, and when all of it is."""
    at_us = (case.opened_us // window_us + 1) * window_us
    yield replace(case, opened_us=at_us, until_us=at_us)
    if case.until_us > at_us:
        yield replace(case, opened_us=at_us)


def _lesson(case: Case, casework: Casework, facts: FaultFacts, window_us: int) -> Iterator[Lesson]:
    shown, fault_id = casework.case(case), facts.fault_of(case, window_us)
    if shown is None or fault_id is None:
        return
    seen = {each.service for each in facts.incidents() if each.fault_id == fault_id}
    for fault in facts.faults(shown.features.keys(), 0, None):
        if fault.fault_id == fault_id:
            # What a fault did not move says nothing of its kind, and a run has many services.
            features = {name: found for name, found in shown.features.items() if name in seen | fault.answers}
            yield Lesson(case=replace(shown, features=features, graph=()), kind=fault.kind)
