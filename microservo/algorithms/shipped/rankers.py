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
    graph: Edges,
    metrics_weight: float = 1.0,
    logs_weight: float = 1.0,
    traces_weight: float = 1.5,
    explained: float = 0.9,
) -> dict[str, Any]:
    """Services by what their metrics, logs and traces say together, less what those they call explain.

    Each signal counts by the logarithm of its largest deviations, so that a loud one can't outvote the
    others. Traces of a service are what it serves, and what others see who call it: a killed one serves
    nothing, yet its callers see it fail. Of what a caller shows, `explained` times what its worst callee
    shows is not its
    own: a caller whose callee deviates as much is a victim.

    Args:
        data: not looked at; `deviations` are made of it.
        inject_time: likewise.
        dataset: None.
        deviations: service to feature to deviation.
        graph: caller and callee.
        metrics_weight: of metrics.
        logs_weight: of logs.
        traces_weight: of traces.
        explained: share of a callee's deviation that its callers show, too.
    """
    del data, inject_time, dataset
    callees = {service: [to for by, to in graph if by == service and to != service] for service in deviations}
    traces = {service: _seen_in_traces(service, deviations) for service in deviations}
    logs = {service: _strength(_of(found, _LOGS), _TOP) for service, found in deviations.items()}
    scores = {}
    for service, found in deviations.items():
        metrics = _strength((value for name, value in found.items() if _is_metric(name)), _TOP)
        worst = max((traces.get(callee, 0.0) for callee in callees[service]), default=0.0)
        worst_logs = max((logs.get(callee, 0.0) for callee in callees[service]), default=0.0)
        scores[service] = (
            metrics_weight * metrics
            + logs_weight * max(0.0, logs[service] - explained * worst_logs)
            + traces_weight * max(0.0, traces[service] - explained * worst)
        )
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


def _is_metric(name: str) -> bool:
    return name.startswith("metric/") and not name.endswith(("/age_s", "/slope", "/count"))


def _seen_in_traces(service: str, deviations: Deviations) -> float:
    """How odd what a service serves is, by itself or by any of its callers."""
    own = _strength(_of(deviations[service], _SERVED), _TOP)
    calls = f"{_CALLED}{service}/"
    seen = (_strength(_of(found, calls), _TOP) for caller, found in deviations.items() if caller != service)
    return max(own, *seen, 0.0)


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
