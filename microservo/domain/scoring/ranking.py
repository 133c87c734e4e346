"""How far up the true root causes stand in rankings.

A fault has one case: the first ranking that was made for it. One without a ranking, and a ranker that
failed, count as 0 and are never left out. With the oracle's time a ranker was told the true instant;
chained, the alarm of a detector, and a fault that nobody detected counts as 0 too.

- `ac_k`: mean over faults of the share of root causes among the first k, of those that can be among k.
- `avg_5`: mean of `ac_1` to `ac_5`. `mrr`: mean of 1 / rank of the first root cause.
- `chance_k`, `chance_mrr`: what a ranking by chance of the same candidates gets; `lift_k`: by how much
  `ac_k` is above it.
- Range 0 to 1 (lift: -1 to 1), higher is better. NaN without faults.
- Source: RCAEval 1.8, `Evaluator`, whose faults have one root cause each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import comb

import numpy as np

from microservo.domain.scoring.cases import Fault, Ranking
from microservo.domain.scoring.ratios import mean
from microservo.domain.scoring.series import Float64

DEEPEST = 5


def ranking_metrics(faults: Sequence[Fault], rankings: Iterable[Ranking]) -> Mapping[str, float]:
    """All metrics of rankings that were told one kind of time.

    Args:
        faults: all that should have been explained.
        rankings: with the oracle's time, or chained.
    """
    outcomes = ranking_outcomes(faults, rankings)
    values = {name: mean(column.tolist()) for name, column in outcomes.items()}
    for k in range(1, DEEPEST + 1):
        values[f"chance_{k}"] = mean(_chance(fault, k) for fault in faults)
        values[f"lift_{k}"] = values[f"ac_{k}"] - values[f"chance_{k}"]
    values["chance_mrr"] = mean(_chance_reciprocal(fault) for fault in faults)
    return values


def ranking_outcomes(faults: Sequence[Fault], rankings: Iterable[Ranking]) -> Mapping[str, Float64]:
    """What each fault adds to the means, by metric, shape (faults,)."""
    first = first_of_faults(rankings)
    ranks = [_ranks(first.get(fault.fault_id)) for fault in faults]
    pairs = list(zip(faults, ranks, strict=True))
    outcomes = {
        f"ac_{k}": np.array([_accuracy(fault, each, k) for fault, each in pairs])
        for k in range(1, DEEPEST + 1)
    }
    total = np.array(list(outcomes.values())).cumsum(axis=0)
    outcomes[f"avg_{DEEPEST}"] = total[-1] / DEEPEST
    outcomes["mrr"] = np.array([_reciprocal(fault, each) for fault, each in pairs])
    return outcomes


def first_of_faults(rankings: Iterable[Ranking]) -> Mapping[str, Ranking]:
    """The first case of each fault, by time and name of the case."""
    first: dict[str, Ranking] = {}
    for each in sorted(rankings, key=lambda each: (each.at_us, each.case_id)):
        if each.fault_id is not None:
            first.setdefault(each.fault_id, each)
    return first


def _ranks(ranking: Ranking | None) -> list[str]:
    """Services once each, where they first stand."""
    return [] if ranking is None else list(dict.fromkeys(ranking.ranks))


def _accuracy(fault: Fault, ranks: Sequence[str], k: int) -> float:
    return len(fault.answers.intersection(ranks[:k])) / min(k, len(fault.answers))


def _reciprocal(fault: Fault, ranks: Sequence[str]) -> float:
    return next((1 / rank for rank, name in enumerate(ranks, 1) if name in fault.answers), 0.0)


def _chance(fault: Fault, k: int) -> float:
    """The expected `ac_k` of a ranking of all candidates by chance."""
    expected = min(k, fault.candidates) * len(fault.answers) / fault.candidates
    return expected / min(k, len(fault.answers))


def _chance_reciprocal(fault: Fault) -> float:
    """The expected 1 / rank of the first root cause, of a ranking of all candidates by chance."""
    others, answers = fault.candidates - len(fault.answers), len(fault.answers)
    ways = comb(fault.candidates, answers)
    return sum(comb(fault.candidates - rank, answers - 1) / ways / rank for rank in range(1, others + 2))
