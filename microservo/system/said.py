"""What each deployed algorithm said of the faults of a run: the end of a demo."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from microservo.adapters.broker import Broker
from microservo.log.run_facts import newest_effects, newest_truth, records_of_run
from microservo.log.runs import find_run
from schemas.catalogue import ALARMS, CASES, ROOT_CAUSES
from schemas.records import Alarm, Case, FaultEffect, RootCause, Truth

_FIRST_FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSaid:
    """What a detector said.

    Attributes:
        alarms: that it raised.
        found: faults that were seen at a service while an alarm was open there.
        false_alarms: alarms that began in a window in which nothing was wrong, and met no fault later.
    """

    algorithm: str
    alarms: int
    found: int
    false_alarms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerSaid:
    """What a ranker said.

    Attributes:
        cases: that it was asked about.
        of_faults: those in which a fault was seen at the service of the alarm.
        first: of these, those whose root cause it ranked first.
        first_few: likewise, among the first three.
    """

    algorithm: str
    cases: int
    of_faults: int
    first: int
    first_few: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What all of them said, in the order of their names.

    Attributes:
        faults: how many faults were seen anywhere.
    """

    faults: int
    detectors: tuple[DetectorSaid, ...]
    rankers: tuple[RankerSaid, ...]


def what_each_said(broker: Broker, topic_prefix: str, run_id: str, algorithms: Mapping[str, str]) -> Said:
    """Reads it from the topics of a run.

    Args:
        broker: where the run lies.
        topic_prefix: put before every topic name.
        run_id: the run.
        algorithms: the task of each, by name.

    Raises:
        InvalidInput: there is no such run.
    """

    def read(topic: str) -> Iterable[object]:
        return records_of_run(broker, topic_prefix, run_id, topic)

    effects = [
        each for each in newest_effects(broker, topic_prefix, run_id).values() if each.finding == "visible"
    ]
    window_us = find_run(broker, run_id, topic_prefix).run.window_us
    alarms = _newest_alarms(read(ALARMS))
    cases = {each.case_id: each for each in read(CASES) if isinstance(each, Case) and each.detector}
    causes = {
        (each.algorithm, each.case_id): each for each in read(ROOT_CAUSES) if isinstance(each, RootCause)
    }
    truth = newest_truth(broker, topic_prefix, run_id)
    return Said(
        faults=len({each.fault_id for each in effects}),
        detectors=tuple(
            of_detector(name, [each for each in alarms if each.algorithm == name], effects, truth, window_us)
            for name, task in sorted(algorithms.items())
            if task == "detector"
        ),
        rankers=tuple(
            of_ranker(
                name, [each for (by, _), each in causes.items() if by == name], cases, effects, window_us
            )
            for name, task in sorted(algorithms.items())
            if task == "ranker"
        ),
    )


def of_detector(
    name: str,
    alarms: Sequence[Alarm],
    effects: Collection[FaultEffect],
    truth: Mapping[tuple[str, int], Truth],
    window_us: int,
) -> DetectorSaid:
    """What the alarms of a detector come to.

    Args:
        name: of the detector.
        alarms: the newest record of each.
        effects: where faults were seen.
        truth: of windows, by service and start.
        window_us: length of a window in microseconds.
    """
    met = {each.alarm_id: _met(each, effects, window_us) for each in alarms}
    return DetectorSaid(
        algorithm=name,
        alarms=len(alarms),
        found=len(set().union(*met.values())),
        false_alarms=sum(
            not met[each.alarm_id] and truth.get((each.service, each.opened_us - window_us)) == "normal"
            for each in alarms
        ),
    )


def of_ranker(
    name: str,
    causes: Sequence[RootCause],
    cases: Mapping[str, Case],
    effects: Collection[FaultEffect],
    window_us: int,
) -> RankerSaid:
    """What the rankings of a ranker come to; arguments as of `of_detector`."""
    ranked = [(each.ranks, cases[each.case_id]) for each in causes if each.case_id in cases]
    roots = [(ranks, _roots(case, effects, window_us)) for ranks, case in ranked]
    return RankerSaid(
        algorithm=name,
        cases=len(ranked),
        of_faults=sum(bool(right) for _, right in roots),
        first=sum(bool(right & set(ranks[:1])) for ranks, right in roots),
        first_few=sum(bool(right & set(ranks[:_FIRST_FEW])) for ranks, right in roots),
    )


def _met(alarm: Alarm, effects: Iterable[FaultEffect], window_us: int) -> set[str]:
    """The faults that were seen at the alarm's service while it was open."""
    return {
        each.fault_id
        for each in effects
        if each.service == alarm.service
        and each.ends_us[-1] >= alarm.opened_us - window_us
        and (alarm.closed_us is None or each.starts_us[0] < alarm.closed_us)
    }


def _roots(case: Case, effects: Iterable[FaultEffect], window_us: int) -> set[str]:
    """The root causes of the faults that were seen where and when a case began."""
    return {
        each.root_service
        for each in effects
        if each.service == case.service
        and each.starts_us[0] < case.opened_us
        and each.ends_us[-1] >= case.opened_us - window_us
    }


def _newest_alarms(records: Iterable[object]) -> list[Alarm]:
    """Each alarm once: as it closed, if it did."""
    found: dict[tuple[str, int], Alarm] = {}
    for each in records:
        if isinstance(each, Alarm):
            key = (each.alarm_id, each.algorithm_version)
            if each.closed_us is not None or key not in found:
                found[key] = each
    return list(found.values())
