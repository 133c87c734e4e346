"""What the metrics of the board cost: `python -m benchmarks.scoring`, a minute.

Processor time of one process, the least of several turns: what else the machine does changes it less than
wall time. VUS-PR is worked out by TSB-AD as well, in an environment of its own; both values must be equal.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from benchmarks.command import run
from benchmarks.cpu import cpu_s
from benchmarks.figures import Figure, figure
from benchmarks.peers.tsb_volume import BUFFER, WINDOWS, windows
from benchmarks.processes import ROOT, Outcome, measure, peers_python
from microservo.algorithms import resolve
from microservo.algorithms.detecting import Detecting
from microservo.algorithms.sample import Sample
from microservo.algorithms.unfenced import unfenced_session
from microservo.domain.alarms import AlarmDecider, Calibration
from microservo.domain.evaluation import Read, RunEvaluation
from microservo.domain.scoring import Alarm, Incident, Series, evaluate_detector
from microservo.domain.scoring.series import MASKED
from microservo.domain.scoring.volume import Volumes, volumes
from microservo.domain.system_rows import SystemRows
from schemas import records

COMMAND = "python -m benchmarks.scoring"
_ALGORITHMS, _SERVICES, _ROWS, _FAULTS = 12, 12, 2_000, 96
_WINDOW_US = 5_000_000
_TURNS = 15
_DETECTORS = (
    "always",
    "constant",
    "log-surprise",
    "n-sigma",
    "never",
    "random",
    "robust-z",
    "trace-deviation",
)
"""Those that need no library of algorithms."""
_TIMES = 8
"""So often the shipped recording is about as long as what is made up."""
_EQUAL = 1e-9
_PEER_TIMEOUT_S = 300
_ASKED_VOLUME_S = 0.5
_ASKED_UPDATE_MS = 50.0

Judged = tuple[list[Series], list[Incident], list[Alarm]]


def figures() -> Iterator[Figure]:
    """VUS-PR against what is asked for and TSB-AD; an update of the board, and all metrics of one row.

    Raises:
        RuntimeError: TSB-AD found other volumes.
    """
    score, truth = (np.array(column) for column in windows())
    both = partial(volumes, score, truth.astype(np.bool_), np.array([0, WINDOWS]), buffer=BUFFER)
    volume_s, peer = cpu_s(both, turns=_TURNS), _peer()
    if peer.result is None:
        print(f"no result of TSB-AD: {peer.reason}", file=sys.stderr)
    else:
        _compare(both(), peer.result)
    title = f"VUS-PR and VUS-ROC of {WINDOWS:,} windows, buffers up to {BUFFER}"
    of_peer = None if peer.result is None else peer.result["cpu_s"]
    for name, value in (("asked for", _ASKED_VOLUME_S), ("TSB-AD 1.5", of_peer)):
        yield figure(title, volume_s, "s of CPU", peer=name, peer_value=value, command=COMMAND)
    board = [_row(seed) for seed in range(_ALGORITHMS)]
    yield figure(
        f"board update: {_ALGORITHMS} algorithms, {_SERVICES} services, {_ROWS:,} windows each",
        1000 * cpu_s(lambda: [evaluate_detector(*row) for row in board], turns=_TURNS),
        "ms of CPU",
        peer="asked for",
        peer_value=_ASKED_UPDATE_MS,
        command=COMMAND,
    )
    gathered = _gathered(board)
    yield figure(
        "the same from records made up as those of a run, with hashes, as it is published",
        1000 * cpu_s(partial(_updated, gathered, count(1)), turns=_TURNS),
        "ms of CPU",
        peer="asked for",
        peer_value=_ASKED_UPDATE_MS,
        command=COMMAND,
    )
    recorded = _gathered(_recorded())
    yield figure(
        f"the same of the shipped recording {_TIMES} times in a row, {_ALGORITHMS} shipped detectors",
        1000 * cpu_s(partial(_updated, recorded, count(1)), turns=_TURNS),
        "ms of CPU",
        peer="asked for",
        peer_value=_ASKED_UPDATE_MS,
        command=COMMAND,
    )
    yield figure(
        "one of them with all metrics, breakdown and intervals",
        1000 * cpu_s(lambda: evaluate_detector(*board[0], cost="batch"), turns=_TURNS),
        "ms of CPU",
        peer="its live metrics",
        peer_value=1000 * cpu_s(lambda: evaluate_detector(*board[0]), turns=_TURNS),
        command=COMMAND,
    )


def _peer() -> Outcome:
    python = peers_python(ROOT / "build" / "tsb", "tsb_requirements.txt", "--no-deps")
    if isinstance(python, str):
        return Outcome(result=None, reason=python)
    return measure(python, "benchmarks.peers.tsb_volume", timeout_s=_PEER_TIMEOUT_S)


def _compare(ours: Volumes, theirs: Mapping[str, float]) -> None:
    if max(abs(ours.pr - theirs["pr"]), abs(ours.roc - theirs["roc"])) > _EQUAL:
        msg = f"{ours} is not what TSB-AD finds: {theirs}"
        raise RuntimeError(msg)


def _row(seed: int) -> Judged:
    """What an algorithm said of a run in which each service is hit as often."""
    chance = np.random.default_rng(seed)
    start_us = np.arange(_ROWS) * _WINDOW_US
    found: Judged = ([], [], [])
    for place in range(_SERVICES):
        service, truth = f"service-{place}", np.zeros(_ROWS, np.int8)
        for first in chance.choice(_ROWS // 40, _FAULTS // _SERVICES, replace=False) * 40:
            span = {"start_us": int(first) * _WINDOW_US, "end_us": int(first + 20) * _WINDOW_US}
            truth[first : first + 20], truth[first + 20 : first + 24] = 1, -1
            found[1].append(
                Incident(
                    fault_id=f"{service}-{first}",
                    kind=f"kind-{first % 7}",
                    service=service,
                    severity=1.0,
                    applied_us=span["start_us"],
                    effect_us=span["start_us"],
                    **span,
                )
            )
            found[2].append(Alarm(service=service, known_us=span["start_us"] + _WINDOW_US, **span))
        score = chance.normal(size=_ROWS) + 1.5 * (truth == 1)
        found[0].append(
            Series(
                service=service,
                start_us=start_us,
                end_us=start_us + _WINDOW_US,
                score=score,
                truth=truth,
                flagged=score > 2.5,
            )
        )
    return found


def _recorded() -> list[Judged]:
    """What detectors say of a real run, repeated until it is as long as the one that is made up."""
    sample = Sample.read()
    once = [_seen_by(kind, sample) for kind in _DETECTORS]
    return [once[number % len(once)] for number in range(_ALGORITHMS)]


def _seen_by(kind: str, sample: Sample) -> Judged:
    """What a detector says of the sample, and what is true of it, from instant 0 on."""
    begin_us, size_us = min(each.start_us for each in sample.windows), sample.window_us
    length = max(each.end_us - begin_us for each in sample.windows) // size_us
    decider = AlarmDecider(
        kind,
        calibration=Calibration(window_us=size_us),
        fault_free_until_us=sample.fault_free_until_us,
    )
    with unfenced_session(resolve(kind)) as session:
        session.open()
        detecting = Detecting(session, decider, SystemRows(size_us * length))
        scored, decisions = detecting.take([(each, 0) for each in sample.windows])
    services = sorted({each.service for each in sample.windows if each.service_kind == "service"})
    scores = {service: np.full(length, np.nan) for service in services}
    truths = {service: np.full(length, MASKED, np.int8) for service in services}
    for each in scored:
        scores[each.service][(each.start_us - begin_us) // size_us] = each.score
    for (service, start_us), truth in sample.truth.items():
        if service in truths:
            truths[service][(start_us - begin_us) // size_us] = _CODES[truth]
    raised = {(each.alarm.service, each.alarm.opened_us): each.alarm for each in decisions}
    shifts_us = [turn * length * _WINDOW_US - begin_us for turn in range(_TIMES)]
    start_us = np.arange(length * _TIMES) * _WINDOW_US
    series = [
        Series(
            service=service,
            start_us=start_us,
            end_us=start_us + _WINDOW_US,
            score=np.tile(scores[service], _TIMES),
            truth=np.tile(truths[service], _TIMES),
            flagged=np.zeros(len(start_us), np.bool_),
        )
        for service in services
    ]
    incidents = [
        replace(
            effect.incident(),
            fault_id=f"{effect.fault_id}-{turn}",
            start_us=effect.start_us + shift_us,
            end_us=effect.end_us + shift_us,
            applied_us=effect.applied_us + shift_us,
            effect_us=effect.start_us + shift_us,
        )
        for turn, shift_us in enumerate(shifts_us)
        for effect in sample.effects
    ]
    end_us = begin_us + length * size_us
    alarms = [
        Alarm(
            service=each.service,
            start_us=each.opened_us - size_us + shift_us,
            end_us=(each.closed_us or end_us) + shift_us,
            known_us=each.opened_us + shift_us,
        )
        for shift_us in shifts_us
        for each in raised.values()
    ]
    return series, incidents, alarms


def _gathered(board: list[Judged]) -> RunEvaluation:
    """What lies on the topics of such a run, of one truth and twelve algorithms."""
    evaluation = RunEvaluation("run")
    for record in _truths(*board[0][:2]):
        evaluation.add(record)
    for number, (series, _, alarms) in enumerate(board):
        for record in _said(f"algorithm-{number}", series, alarms):
            evaluation.add(record)
    return evaluation


def _updated(evaluation: RunEvaluation, revisions: Iterator[int]) -> None:
    """An update of the whole board after a label has changed."""
    revision = next(revisions)
    evaluation.add(_labelled("service-0", 0, revision, "masked" if revision % 2 else "normal"))
    if len(list(evaluation.evaluations(at_us=0))) != _ALGORITHMS:
        msg = f"not all {_ALGORITHMS} algorithms were judged"
        raise RuntimeError(msg)


def _truths(series: list[Series], incidents: list[Incident]) -> Iterator[Read]:
    yield records.Experiment(
        run_id="run",
        status="running",
        seed=0,
        target="",
        started_at_us=-1,
        window_us=_WINDOW_US,
        first_cut_us=2_000_000,
        final_cut_us=30_000_000,
        start_offsets={},
        end_offsets={},
        versions={},
    )
    for each in series:
        for number, truth in enumerate(each.truth.tolist()):
            yield _labelled(each.service, number, 0, _TRUTHS[truth])
    for incident in incidents:
        fault: dict[str, Any] = {
            "run_id": "run",
            "fault_id": incident.fault_id,
            "version": 1,
            "service": incident.service,
            "root_service": incident.service,
            "relation": "root",
        }
        yield records.ServiceFault(
            **fault,
            kind=incident.kind,
            role="root_cause",
            hops=0,
            severity=incident.severity,
            requested_at_us=incident.applied_us,
            applied_at_us=incident.applied_us,
            recovered_at_us=incident.end_us,
        )
        yield records.FaultEffect(
            **fault,
            finding="visible",
            starts_us=(incident.start_us,),
            ends_us=(incident.end_us,),
            is_open=False,
            through_us=incident.end_us,
            is_final=True,
        )


_TRUTHS: Mapping[int, records.Truth] = {1: "anomalous", 0: "normal", MASKED: "masked"}
_CODES = {truth: code for code, truth in _TRUTHS.items()}


def _labelled(service: str, number: int, revision: int, truth: records.Truth) -> records.LabelledWindow:
    return records.LabelledWindow(
        run_id="run",
        service=service,
        start_us=number * _WINDOW_US,
        end_us=(number + 1) * _WINDOW_US,
        revision=revision,
        names=(),
        values=(),
        labels=(),
        truth=truth,
    )


def _said(algorithm: str, series: list[Series], alarms: list[Alarm]) -> Iterator[Read]:
    own: dict[str, Any] = {"run_id": "run", "algorithm": algorithm, "algorithm_version": 1, "latency_us": 0}
    for each in series:
        for number, score in enumerate(each.score.tolist()):
            yield records.AnomalyScore(
                **own,
                service=each.service,
                start_us=number * _WINDOW_US,
                end_us=(number + 1) * _WINDOW_US,
                revision=0,
                score=score,
                scored_at_us=0,
                input_sha256="ab" * 32,
            )
    for alarm in alarms:
        yield records.Alarm(
            **own,
            alarm_id=f"{algorithm}/{alarm.service}/{alarm.start_us}",
            service=alarm.service,
            opened_us=alarm.start_us + _WINDOW_US,
            closed_us=alarm.end_us,
            score=3.0,
            threshold=2.5,
            peak=3.0,
            raised_at_us=0,
        )


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(parser, lambda *_: figures(), name="scoring", title="What the metrics of the board cost")


if __name__ == "__main__":
    sys.exit(main())
