"""Rankers of causes. Each is a function with RCAEval's signature that takes what else it needs by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from typing import Any

from .controls import draw

Deviations = Mapping[str, Mapping[str, float]]
Edges = Sequence[tuple[str, str]]

_CLIP = 50.0
"""What is beyond is broken; how much beyond says nothing more."""
_METRICS = "metric/"
_RESOURCES = ("metric/process.", "metric/service.")
"""What the process of a service uses, and whether it is there: nobody else's doing."""
_SAY_LITTLE = ("/age_s", "/slope", "/count")
"""Statistics of a metric that move for little."""
_LOGS = "log/"
_SERVED = "request/"
_CALLED = "call/"
_TOP = 3


def random_ranker(
    data: Any,
    inject_time: float,
    dataset: str | None = None,
    *,
    services: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """Services in an order drawn from the seed and the alarm: what any other ranker must beat."""
    del data, dataset
    ranks = sorted(services, key=lambda service: draw(seed, [inject_time, service]))
    return {"ranks": ranks}


def most_deviating(
    data: Any,
    inject_time: float,
    dataset: str | None = None,
    *,
    deviations: Deviations,
    top_k: int = _TOP,
) -> dict[str, Any]:
    """Services by the mean of their `top_k` largest deviations, of whatever feature."""
    del data, inject_time, dataset
    return ranked({service: _strength(found.values(), top_k) for service, found in deviations.items()})


def random_walk(
    data: Any,
    inject_time: float,
    dataset: str | None = None,
    *,
    deviations: Deviations,
    graph: Edges,
    backward: float = 0.2,
    restart: float = 0.15,
    steps: int = 100,
) -> dict[str, Any]:
    """Services by how often a walk along the calls is there, drawn to those that deviate.

    From a service it goes to what it calls, stays where no callee deviates more, and now and then goes back
    to a caller or begins anew at a service drawn by its deviation.

    Args:
        data: not looked at; `deviations` are made of it.
        inject_time: likewise.
        dataset: None.
        deviations: service to feature to deviation.
        graph: caller and callee.
        backward: weight of going back to a caller.
        restart: share of steps that begin anew.
        steps: of the power iteration.

    Source: MonitorRank (SIGMETRICS 2013), MicroRCA (NOMS 2020): forward, self and backward edges.
    """
    del data, inject_time, dataset
    strength = {service: _strength(found.values(), _TOP) + 1e-6 for service, found in deviations.items()}
    total = math.fsum(strength.values())
    start = {service: value / total for service, value in strength.items()}
    moves = {service: _moves(service, strength, graph, backward) for service in strength}
    there = dict(start)
    for _ in range(steps):
        after = {service: restart * value for service, value in start.items()}
        for service, value in there.items():
            for target, share in moves[service]:
                after[target] += (1 - restart) * value * share
        there = after
    return ranked(there)


def multi_signal(
    data: Any,
    inject_time: float,
    dataset: str | None = None,
    *,
    deviations: Deviations,
    peaks: Deviations,
    graph: Edges,
    resources_weight: float = 1.0,
    peaks_weight: float = 2.0,
    symptoms_weight: float = 1.0,
    logs_weight: float = 1.0,
    calls_weight: float = 2.0,
    explained: float = 0.3,
    top_k: int = 3,
) -> dict[str, Any]:
    """Services by five kinds of evidence, less what those they call explain.

    What its process uses is a service's own, and so is the highest peak of its metrics, which is there though
    it lasted for a moment. How it serves (latency, errors, requests under way), how its callers see it, and
    its logs may be the effect of what it calls: of these, `explained` times what its worst callee shows is
    taken off. How callers see it counts for the callee alone: a killed one serves nothing, yet its callers
    see it fail.

    Each kind counts by the logarithm of its largest deviations, so that a loud one can't outvote the others;
    a quantity counts once, whatever its statistics say.

    The weights are of the best of 150 on four recordings: of 363 faults they have the cause of 249 first.
    Those that have 251 don't find a slow callee as often.
    `benchmarks/results/rankers_unseen.md` judges each recording by what is chosen on the others.

    Args:
        data: not looked at; `deviations` are made of it.
        inject_time: likewise.
        dataset: None.
        deviations: service to feature to deviation.
        peaks: service to feature to how far it peaked.
        graph: caller and callee.
        resources_weight: of what the process uses.
        peaks_weight: of the highest peak.
        symptoms_weight: of how it serves.
        logs_weight: of its logs; few lines say little, and callers log the failures of others.
        calls_weight: of how its callers see it.
        explained: share of a callee's evidence that its callers show, too.
        top_k: how many quantities are averaged for each kind of evidence.

    Source: of the peaks, BARO's scorer (FSE 2024).
    """
    del data, inject_time, dataset
    callees = {service: [to for by, to in graph if by == service and to != service] for service in deviations}
    quantities = {service: _quantities(found) for service, found in deviations.items()}
    scores = {
        service: resources_weight * _strength(_of(found, *_RESOURCES), top_k)
        + peaks_weight * math.log1p(_peak(peaks.get(service, {})))
        for service, found in quantities.items()
    }
    may_be_explained = (
        (symptoms_weight, {service: _symptoms(found) for service, found in quantities.items()}),
        (logs_weight, {service: _of(found, _LOGS) for service, found in quantities.items()}),
        (calls_weight, {service: _seen_by_callers(service, quantities) for service in quantities}),
    )
    for weight, evidence in may_be_explained:
        strength = {service: _strength(values, top_k) for service, values in evidence.items()}
        for service, own in strength.items():
            worst = max((strength.get(callee, 0.0) for callee in callees[service]), default=0.0)
            scores[service] += weight * max(0.0, own - explained * worst)
    return ranked(scores)


def ranked(scores: Mapping[str, float]) -> dict[str, Any]:
    """What is given back: services by score, equal ones by name."""
    ranks = sorted(scores, key=lambda service: (-scores[service], service))
    return {"ranks": ranks, "scores": dict(scores)}


def _strength(values: Iterable[float], top_k: int) -> float:
    """The logarithm of the mean of the largest deviations, up or down."""
    largest = nlargest(top_k, (min(abs(value), _CLIP) for value in values))
    return math.log1p(sum(largest) / top_k)


def _of(found: Mapping[str, float], *prefixes: str) -> list[float]:
    return [value for name, value in found.items() if name.startswith(prefixes)]


def _quantities(found: Mapping[str, float]) -> dict[str, float]:
    """The largest deviation of each quantity, up or down: a metric has several statistics, the rest one."""
    largest: dict[str, float] = {}
    for name, value in found.items():
        if _tells(name):
            quantity = name.rpartition("/")[0] if name.startswith(_METRICS) else name
            largest[quantity] = max(largest.get(quantity, 0.0), abs(value))
    return largest


def _peak(found: Mapping[str, float]) -> float:
    """The highest of a metric; 0 where none rose."""
    metrics = (value for name, value in found.items() if name.startswith(_METRICS) and _tells(name))
    return max((0.0, *metrics))


def _tells(name: str) -> bool:
    """Whether a feature is more than a statistic of a metric that moves for little."""
    return not (name.startswith(_METRICS) and name.endswith(_SAY_LITTLE))


def _symptoms(found: Mapping[str, float]) -> list[float]:
    """How a service serves: its metrics but for what its process uses, and its requests."""
    return [
        value
        for name, value in found.items()
        if name.startswith((_METRICS, _SERVED)) and not name.startswith(_RESOURCES)
    ]


def _seen_by_callers(service: str, quantities: Deviations) -> list[float]:
    """How odd calls of a service are, to its callers."""
    calls = f"{_CALLED}{service}/"
    return [value for caller, found in quantities.items() if caller != service for value in _of(found, calls)]


def _moves(
    service: str, strength: Mapping[str, float], graph: Edges, backward: float
) -> list[tuple[str, float]]:
    forward = {
        callee: strength[callee] for caller, callee in graph if caller == service and callee in strength
    }
    back = {
        caller: backward * strength[caller]
        for caller, callee in graph
        if callee == service and caller in strength
    }
    stay = max(0.0, strength[service] - max(forward.values(), default=0.0))
    weights = [*forward.items(), *back.items(), (service, stay)]
    total = math.fsum(weight for _, weight in weights)
    return [(target, weight / total) for target, weight in weights] if total > 0 else [(service, 1.0)]
