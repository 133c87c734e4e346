"""How long it took until an incident was known, in seconds.

From `apply`, the instant at which the fault was in force, and from `effect`, the first record that deviates
at this service; until the alarm could be known, when the first revision of its first window was due: event
time, so that a replay gives the same. What scoring takes beyond that is a cost. An alarm that was open before
has the delay 0.

- `delay_from_*_p50_s`, `_p95_s`: of the incidents that were found; NaN where none was. 0 or more, lower is
  better. Who finds only what is easy looks fast, so they are read beside the missed share.
- `missed_share`: share of incidents not found; 0 to 1, lower is better.
- `delay_from_*_penalised_s`: mean over all incidents, where one that was missed has taken as long as it
  lasted.

Who always raises an alarm gets 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from microservo.domain.scoring.detection import Detection
from microservo.domain.scoring.ratios import mean, quantile, ratio, row_sums
from microservo.domain.scoring.series import Flags, Float64, Int64

_US = 1_000_000


def delay_metrics(judged: Detection) -> Mapping[str, Float64]:
    """Shape (1 + services,)."""
    found = judged.found
    groups = _groups(judged)
    missed = judged.counted(found.counts & ~found.is_found)
    metrics = {"missed_share": ratio(missed, judged.counted(found.counts))}
    for name in ("apply", "effect"):
        delay_s = _delays_s(judged, name)
        each = [_summary(delay_s[places], found.is_found[places]) for places in groups]
        for column, end in enumerate(("p50_s", "p95_s", "penalised_s")):
            metrics[f"delay_from_{name}_{end}"] = np.array([row[column] for row in each])
    return metrics


def delay_replicates(judged: Detection, weights: Float64) -> Mapping[str, Float64]:
    """The same, pooled, where each incident counts as often as its weight says; see `event_replicates`."""
    found = judged.found
    counted = (weights * found.counts).sum(axis=1)
    metrics = {"missed_share": ratio((weights * (found.counts & ~found.is_found)).sum(axis=1), counted)}
    for name in ("apply", "effect"):
        delay_s = _delays_s(judged, name)
        total = row_sums(weights * np.where(found.counts, delay_s, 0))
        metrics[f"delay_from_{name}_penalised_s"] = ratio(total, counted)
        for share, end in ((0.5, "p50_s"), (0.95, "p95_s")):
            metrics[f"delay_from_{name}_{end}"] = _weighted_quantile(delay_s, weights, found.is_found, share)
    return metrics


def _delays_s(judged: Detection, name: str) -> Float64:
    """Of each incident; how long it lasted where it was not found."""
    from_us = np.array(
        [each.applied_us if name == "apply" else each.effect_us for each in judged.incidents], np.int64
    )
    end_us = np.array([each.end_us for each in judged.incidents], np.int64)
    until_us: Int64 = np.where(judged.found.is_found, judged.found.known_us, end_us)
    return np.asarray(np.maximum(until_us - from_us, 0) / _US)


def _groups(judged: Detection) -> list[Int64]:
    """Places of the incidents that count: of all services first, then of each."""
    places = judged.found.counts.nonzero()[0]
    service = judged.service[places]
    # Incidents lie by service, those at none first.
    edges = service.searchsorted(np.arange(len(judged.windows.services) + 1)).tolist()
    return [places, *(places[first:behind] for first, behind in pairwise(edges))]


def _summary(delay_s: Float64, is_found: Flags) -> tuple[float, float, float]:
    """Of some incidents that count."""
    known = np.sort(delay_s[is_found]).tolist()
    return quantile(known, 0.5), quantile(known, 0.95), mean(delay_s.tolist())


def _weighted_quantile(values: Float64, weights: Float64, rows: Flags, share: float) -> Float64:
    """As `quantile` of values repeated by their weights, shape (repetitions,); NaN without any."""
    order = values[rows].argsort(kind="stable")
    ordered = np.append(values[rows][order], np.nan)
    until = weights[:, rows][:, order].cumsum(axis=1)
    total = until[:, -1] if until.shape[1] else np.zeros(len(weights))
    place = share * np.maximum(total - 1, 0)
    below = np.floor(place)
    low = ordered[(until <= below[:, None]).sum(axis=1)]
    high = ordered[(until <= np.minimum(below + 1, total - 1)[:, None]).sum(axis=1)]
    return np.asarray(low + (high - low) * (place - below))
