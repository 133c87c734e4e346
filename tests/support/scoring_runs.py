"""Simulated runs for the board: services, faults that are visible at them, and detectors of all sorts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from microservo.domain.scoring import ANOMALOUS, MASKED, Alarm, Incident, Series

WINDOW_US = 5_000_000
KINDS = ("cpu-hog", "delay", "error", "kill", "leak")


def series_of(
    service: str, score: Sequence[float], truth: Sequence[int], flagged: Sequence[bool] | None = None
) -> Series:
    """Windows of five seconds from the epoch on; flagged above a score of 0.5 unless said otherwise."""
    start_us = np.arange(len(score), dtype=np.int64) * WINDOW_US
    scores = np.asarray(score, np.float64)
    return Series(
        service=service,
        start_us=start_us,
        end_us=start_us + WINDOW_US,
        score=scores,
        truth=np.asarray(truth, np.int8),
        flagged=scores > 0.5 if flagged is None else np.asarray(flagged, np.bool_),
    )


def incident_of(
    service: str, first: int, behind: int, *, kind: str = "cpu-hog", severity: float = 1.0, fault_id: str = ""
) -> Incident:
    """A fault that is visible in some windows; in force two seconds before, first seen a second after."""
    return Incident(
        fault_id=fault_id or f"{service}-{first}",
        kind=kind,
        service=service,
        severity=severity,
        start_us=first * WINDOW_US,
        end_us=behind * WINDOW_US,
        applied_us=first * WINDOW_US - 2_000_000,
        effect_us=first * WINDOW_US + 1_000_000,
    )


@dataclass(frozen=True)
class Run:
    """What is true: of each service its windows without scores, and all incidents."""

    truths: dict[str, Series]
    incidents: list[Incident]


def run_of(seed: int, *, services: int = 10, faults: int = 60, windows: int = 900, warm_up: int = 100) -> Run:
    """Faults one after another, each visible at one service; some services are hit more often."""
    chance = np.random.default_rng(seed)
    truths = {f"service-{place}": np.zeros(windows, np.int8) for place in range(services)}
    incidents = []
    weights = np.arange(1, services + 1) / (services * (services + 1) / 2)
    slot = (windows - warm_up) // faults
    for number in range(faults):
        name = f"service-{chance.choice(services, p=weights)}"
        first = warm_up + number * slot + int(chance.integers(0, 3))
        behind = first + int(chance.integers(3, slot - 3))
        truths[name][first:behind] = ANOMALOUS
        truths[name][behind : behind + 2] = MASKED
        kind = KINDS[number % len(KINDS)]
        severity = float(chance.choice([0.3, 0.6, 1.0]))
        incidents.append(
            incident_of(name, first, behind, kind=kind, severity=severity, fault_id=f"fault-{number}")
        )
    unscored = {name: series_of(name, np.zeros(windows), truth) for name, truth in truths.items()}  # type: ignore[arg-type]
    return Run(unscored, incidents)


def scored(run: Run, name: str, seed: int) -> list[Series]:
    """The run as a detector saw it: oracle, mediocre, random, always, never, or constant (per service)."""
    chance = np.random.default_rng(seed)
    found = []
    for series in run.truths.values():
        is_anomalous, count = series.truth == ANOMALOUS, len(series.truth)
        noise = chance.normal(size=count)
        if name == "oracle":
            score, threshold = noise * 0.05 + is_anomalous, 0.5
        elif name == "mediocre":
            score, threshold = noise + 3.0 * is_anomalous, 3.2
        elif name == "random":
            score, threshold = chance.random(count), 0.99
        elif name == "constant":
            score, threshold = np.full(count, is_anomalous.mean()), 0.06
        else:
            score, threshold = np.full(count, float(name == "always")), 0.5
        found.append(replace(series, score=score, flagged=score > threshold))
    return found


def alarms_of(series: Sequence[Series]) -> list[Alarm]:
    """An alarm for each stretch of flagged windows, known six seconds after it began."""
    found = []
    for each in series:
        edges = np.diff(np.concatenate(([0], each.flagged.astype(np.int8), [0])))
        for first, behind in zip((edges == 1).nonzero()[0], (edges == -1).nonzero()[0], strict=True):
            start_us = int(each.start_us[first])
            found.append(
                Alarm(
                    service=each.service,
                    start_us=start_us,
                    end_us=None if behind == len(each.flagged) else int(each.end_us[behind - 1]),
                    known_us=start_us + 6_000_000,
                )
            )
    return found
