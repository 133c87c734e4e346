"""Which faults the alarms of each detector met: the counts that a board gives as shares only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from microservo.adapters.broker import Broker
from microservo.log.run_facts import newest_effects, newest_truth, records_of_run
from microservo.log.runs import find_run
from schemas.catalogue import ALARMS
from schemas.records import Alarm, FaultEffect, Truth


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
class Said:
    """What all detectors said, in the order of their names.

    Attributes:
        faults: how many faults were seen anywhere.
    """

    faults: int
    detectors: tuple[DetectorSaid, ...]


def what_each_said(broker: Broker, topic_prefix: str, run_id: str, detectors: Iterable[str]) -> Said:
    """Reads it from the topics of a run.

    Args:
        broker: where the run lies.
        topic_prefix: put before every topic name.
        run_id: the run.
        detectors: their names; who raised no alarm is among them.

    Raises:
        InvalidInput: there is no such run.
    """
    effects = [
        each for each in newest_effects(broker, topic_prefix, run_id).values() if each.finding == "visible"
    ]
    window_us = find_run(broker, run_id, topic_prefix).run.window_us
    alarms = _newest_alarms(records_of_run(broker, topic_prefix, run_id, ALARMS))
    truth = newest_truth(broker, topic_prefix, run_id)
    return Said(
        faults=len({each.fault_id for each in effects}),
        detectors=tuple(
            of_detector(name, [each for each in alarms if each.algorithm == name], effects, truth, window_us)
            for name in sorted(detectors)
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


def _met(alarm: Alarm, effects: Iterable[FaultEffect], window_us: int) -> set[str]:
    """The faults that were seen at the alarm's service while it was open."""
    return {
        each.fault_id
        for each in effects
        if each.service == alarm.service
        and each.ends_us[-1] >= alarm.opened_us - window_us
        and (alarm.closed_us is None or each.starts_us[0] < alarm.closed_us)
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
