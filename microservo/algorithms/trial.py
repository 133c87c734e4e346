"""An algorithm tried on the sample: what it would get on a board, offline and within seconds.

The algorithm is asked as it would be live, window by window or case by case; truth and effects of the sample
stay on this side of the pipe. What is worked out is the same for the same algorithm, but for its cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter

import numpy as np

from microservo.algorithms.casework import Casework
from microservo.algorithms.declaration import Declaration
from microservo.algorithms.detecting import Detecting, Scored
from microservo.algorithms.sample import RUN_ID, Effect, Sample
from microservo.algorithms.session import Session
from microservo.domain.alarms import Alarm, AlarmDecider, Calibration, Threshold
from microservo.domain.scoring import (
    ANOMALOUS,
    MASKED,
    NORMAL,
    Fault,
    Incident,
    Ranking,
    Series,
    evaluate_detector,
    evaluate_ranker,
)
from microservo.domain.scoring import Alarm as JudgedAlarm
from microservo.domain.scoring.evaluation import Time
from microservo.domain.system_rows import SYSTEM, SystemRows
from microservo.errors import InvalidInput
from schemas.records import Case, ServiceGraph, Truth

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "detector": (
        "auc_pr",
        "lift_over_random",
        "event_recall_at_1_per_hour",
        "event_recall",
        "false_alarms_per_hour",
        "delay_from_effect_p50_s",
    ),
    "ranker": ("ac_1", "ac_3", "avg_5", "mrr"),
}
"""What is shown of a trial, by task."""
BESIDE: Mapping[str, tuple[str, ...]] = {
    "detector": ("n-sigma", "random"),
    "ranker": ("most-deviating", "random-ranker"),
}
"""Shipped kinds to stand beside it, by task: what it has to beat, and chance."""

_BATCH = 200
_HISTORY_US = 600_000_000
_WAITED_WINDOWS = 2
_TIMES: tuple[Time, ...] = ("oracle",)
_TRUTHS = {"anomalous": ANOMALOUS, "normal": NORMAL, "masked": MASKED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of it.

    Attributes:
        values: the headlines of its task, as the board names them; NaN where one is not defined.
        asked: how many windows were scored, or cases ranked.
        not_ready: windows without a score, or cases without a ranking.
        cpu_us: processor time that one of them took on the average, as the algorithm's process says.
    """

    values: Mapping[str, float]
    asked: int
    not_ready: int
    cpu_us: float


def try_on_sample(session: Session, sample: Sample, *, alarms_per_hour: float = 1.0) -> Trial:
    """Asks an algorithm about all of the sample.

    Args:
        session: to the algorithm; it is open, and was not asked anything yet.
        sample: what it is asked about.
        alarms_per_hour: false alarms that its threshold aims at, where it brings none.

    Raises:
        InvalidInput: it is a classifier, which has to be taught first.
        AlgorithmFailed: it can't be asked.
    """
    task = session.declaration.task
    if task == "detector":
        return _try_detector(session, sample, alarms_per_hour)
    if task == "ranker":
        return _try_ranker(session, sample)
    msg = f"a {task} can't be tried on the sample: it has to be taught by labelled cases first"
    raise InvalidInput(msg)


def _try_detector(session: Session, sample: Sample, alarms_per_hour: float) -> Trial:
    own = session.declaration.threshold
    decider = AlarmDecider(
        "trial",
        calibration=Calibration(alarms_per_hour=alarms_per_hour, window_us=sample.window_us),
        fault_free_until_us=sample.fault_free_until_us,
        threshold=None if own is None else Threshold.fixed(own),
    )
    detecting = Detecting(session, decider, SystemRows(_HISTORY_US))
    scored: list[Scored] = []
    alarms: dict[tuple[str, int], Alarm] = {}
    for begin in range(0, len(sample.windows), _BATCH):
        found, decisions = detecting.take([(window, 0) for window in sample.windows[begin : begin + _BATCH]])
        scored += found
        alarms |= {(each.alarm.service, each.alarm.opened_us): each.alarm for each in decisions}
    judged = [each for each in scored if each.end_us > sample.fault_free_until_us]
    evaluation = evaluate_detector(
        list(_series(judged, list(alarms.values()), sample)),
        _incidents(sample, session.declaration),
        [_as_judged(alarm, sample) for alarm in alarms.values()],
    )
    return Trial(
        values={name: evaluation.values[name] for name in HEADLINES["detector"]},
        asked=len(scored),
        not_ready=sum(math.isnan(each.score) for each in scored),
        cpu_us=detecting.cpu_us / max(1, len(scored)),
    )


def _series(scored: Sequence[Scored], alarms: Sequence[Alarm], sample: Sample) -> Iterator[Series]:
    """The scores of each service beside the truth."""
    ordered = sorted(scored, key=attrgetter("service", "start_us"))
    for service, group in groupby(ordered, attrgetter("service")):
        rows = list(group)
        own = [each for each in alarms if each.service == service]
        yield Series(
            service=service,
            start_us=np.array([each.start_us for each in rows], np.int64),
            end_us=np.array([each.end_us for each in rows], np.int64),
            score=np.array([each.score for each in rows], np.float64),
            truth=np.array([_TRUTHS[_truth(each, sample)] for each in rows], np.int8),
            flagged=np.array([_is_flagged(each, own) for each in rows], np.bool_),
        )


def _truth(scored: Scored, sample: Sample) -> Truth:
    """What a window was; of the whole system, anomalous where any service was."""
    if scored.service != SYSTEM:
        return sample.truth.get((scored.service, scored.start_us), "masked")
    found = {truth for (_, start_us), truth in sample.truth.items() if start_us == scored.start_us}
    return "anomalous" if "anomalous" in found else "masked" if "masked" in found else "normal"


def _is_flagged(scored: Scored, alarms: Iterable[Alarm]) -> bool:
    return any(
        each.opened_us <= scored.end_us and (each.closed_us is None or scored.end_us < each.closed_us)
        for each in alarms
    )


def _as_judged(alarm: Alarm, sample: Sample) -> JudgedAlarm:
    """An alarm as it would be if scoring took no time: its first window had to come before it was known."""
    window_us = sample.window_us
    return JudgedAlarm(
        service=alarm.service,
        start_us=alarm.opened_us - window_us,
        end_us=None if alarm.closed_us is None else alarm.closed_us - window_us,
        known_us=alarm.opened_us + sample.first_cut_us,
    )


def _incidents(sample: Sample, declaration: Declaration) -> list[Incident]:
    """What should have been found: each fault at each service where it was seen, or in the whole system."""
    if declaration.per != "system":
        return [effect.incident() for effect in sample.effects]
    return [
        replace(
            effects[0],
            service=SYSTEM,
            start_us=min(each.start_us for each in effects),
            end_us=max(each.end_us for each in effects),
        ).incident()
        for effects in _by_fault(sample).values()
    ]


def _try_ranker(session: Session, sample: Sample) -> Trial:
    rows = SystemRows(sample.windows[-1].end_us - sample.windows[0].start_us)
    casework = Casework(session.declaration, rows, _HISTORY_US)
    for window in sample.windows:
        rows.add(window, 0)
    for caller, callee, since_us in sample.edges:
        casework.add_graph(_edge(caller, callee, since_us))
    faults: list[Fault] = []
    rankings: list[Ranking] = []
    cpu_us = 0
    for fault_id, effects in _by_fault(sample).items():
        case = _case(fault_id, effects, sample.window_us)
        shown = casework.case(case)
        if shown is None:
            continue
        ranking = session.rank(shown)
        cpu_us += ranking.cpu_us
        faults.append(
            Fault(
                fault_id=fault_id,
                kind=effects[0].kind,
                severity=effects[0].severity,
                answers=frozenset({effects[0].root_service}),
                candidates=len(shown.features),
            )
        )
        rankings.append(
            Ranking(
                case_id=case.case_id,
                fault_id=fault_id,
                at_us=case.opened_us,
                ranks=ranking.services,
                is_oracle_time=True,
            )
        )
    evaluation = evaluate_ranker(faults, rankings, times=_TIMES)
    return Trial(
        values={name: evaluation.values[name] for name in HEADLINES["ranker"]},
        asked=len(rankings),
        not_ready=sum(not each.ranks for each in rankings),
        cpu_us=cpu_us / max(1, len(rankings)),
    )


def _by_fault(sample: Sample) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = {}
    for effect in sample.effects:
        found.setdefault(effect.fault_id, []).append(effect)
    return found


def _case(fault_id: str, effects: Sequence[Effect], window_us: int) -> Case:
    """The case of a fault, as if somebody had seen at once that something is wrong, and waited a little."""
    first = min(effects, key=attrgetter("start_us"))
    opened_us = (first.start_us // window_us + 1) * window_us
    until_us = opened_us + _WAITED_WINDOWS * window_us
    return Case(
        run_id=RUN_ID,
        case_id=fault_id,
        origin="oracle",
        detector="",
        detector_version=0,
        service="",
        opened_us=opened_us,
        until_us=until_us,
        published_at_us=until_us,
    )


def _edge(caller: str, callee: str, since_us: int) -> ServiceGraph:
    return ServiceGraph(
        run_id=RUN_ID,
        start_us=since_us,
        end_us=since_us,
        callers=(caller,),
        callees=(callee,),
        calls=(1,),
        errors=(0,),
    )
