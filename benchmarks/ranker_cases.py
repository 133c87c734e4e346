"""Faults of recorded runs as rankers see them: the telemetry of all services until the fault was over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from microservo.algorithms.casework import Casework
from microservo.algorithms.declaration import Declaration
from microservo.algorithms.delivery import Delivery
from microservo.algorithms.fenced.cases import Case as FencedCase
from microservo.algorithms.sample import Sample
from microservo.algorithms.session import Case
from microservo.application.replay import CASE_HISTORY_US, Recording
from microservo.domain.evaluation.facts import ORACLE_US, FaultFacts
from microservo.domain.system_rows import SystemRows
from schemas import records

_EVER_US = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCase:
    """A fault whose cause is known.

    Attributes:
        recording: name of the run.
        kind: of the fault.
        cause: the service into which it was injected.
        shown: what a ranker is shown.
    """

    recording: str
    kind: str
    cause: str
    shown: Case

    def inside(self, declaration: Declaration) -> FencedCase:
        """The same as the process behind the fence has it."""
        found = FencedCase.decode(*self.shown.frame(Delivery(declaration)))
        found.complete()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    fault_id: str
    kind: str
    cause: str
    opened_us: int
    until_us: int


def of_recording(recording: Recording, declaration: Declaration) -> list[JudgedCase]:
    """The faults of a run that were seen anywhere, as the oracle of the board asks about them."""
    facts = FaultFacts()
    for record in recording.facts():
        if isinstance(record, records.ServiceFault | records.FaultEffect | records.FaultVerdict):
            facts.add(record)
    run = recording.run
    windows = list(recording.windows())
    known = {each.fault_id: each for each in facts.faults({window.service for window, _ in windows}, 0, None)}
    faults = []
    for case in facts.oracle_cases(run.run_id, run.window_us, now_us=0):
        fault = known.get(facts.fault_of(case, run.window_us) or "")
        if fault is not None:
            faults.append(
                _Fault(
                    fault_id=fault.fault_id,
                    kind=fault.kind,
                    cause=min(fault.answers),
                    opened_us=case.opened_us,
                    until_us=case.until_us,
                )
            )
    return list(_judged(recording.name, declaration, windows, recording.graphs(), faults))


def of_sample(sample: Sample, declaration: Declaration) -> list[JudgedCase]:
    """Those of the recording that is shipped."""
    by_fault = {each.fault_id: each for each in sample.effects}
    faults = []
    for fault_id, one in by_fault.items():
        effects = [each for each in sample.effects if each.fault_id == fault_id]
        opened_us = min(each.start_us for each in effects)
        over_us = min(max(each.end_us for each in effects), opened_us + ORACLE_US)
        faults.append(
            _Fault(
                fault_id=fault_id,
                kind=one.kind,
                cause=one.root_service,
                opened_us=opened_us,
                until_us=max(over_us, opened_us + sample.window_us),
            )
        )
    graphs = (
        records.ServiceGraph(
            run_id="sample",
            start_us=since_us,
            end_us=since_us,
            callers=(caller,),
            callees=(callee,),
            calls=(1,),
            errors=(0,),
        )
        for caller, callee, since_us in sample.edges
    )
    windows = [(window, 0) for window in sample.windows]
    return list(_judged("sample", declaration, windows, graphs, faults))


def _judged(
    name: str,
    declaration: Declaration,
    windows: Iterable[tuple[records.FeatureWindow, int]],
    graphs: Iterable[records.ServiceGraph],
    faults: Iterable[_Fault],
) -> Iterator[JudgedCase]:
    rows = SystemRows(_EVER_US)
    casework = Casework(declaration, rows, CASE_HISTORY_US)
    for window, partition in windows:
        rows.add(window, partition)
    for graph in graphs:
        casework.add_graph(graph)
    for fault in sorted(faults, key=lambda each: (each.opened_us, each.fault_id)):
        shown = casework.case(
            records.Case(
                run_id=name,
                case_id=fault.fault_id,
                origin="oracle",
                detector="",
                detector_version=0,
                service="",
                opened_us=fault.opened_us,
                until_us=fault.until_us,
                published_at_us=fault.until_us,
            )
        )
        if shown is not None:
            yield JudgedCase(recording=name, kind=fault.kind, cause=fault.cause, shown=shown)
