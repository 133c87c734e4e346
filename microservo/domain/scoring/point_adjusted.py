"""Point-adjusted F1, a legacy: only to be read beside what chance gets by the same rule.

A stretch of anomalous windows counts as wholly flagged once more than K percent of it are; with K = 0 one
window is enough, and then alarms by chance look excellent, the more the longer the stretches are.

- `pa_f1`, `pa_20_f1`: with K = 0 and K = 20. Range 0 to 1, higher is better.
- `random_pa_f1`, `random_pa_20_f1`: F1 from the expected counts of alarms by chance in as many windows.
- NaN without anomalous windows.
- Source: Kim et al., Towards a Rigorous Evaluation of Time-Series Anomaly Detection, AAAI 2022; `tadpak`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import exp, floor, fsum, lgamma, log, nan

import numpy as np

from microservo.domain.scoring.series import Judged

_PERCENTS = {"pa_f1": 0, "pa_20_f1": 20}


def point_adjusted_metrics(windows: Judged) -> Mapping[str, float]:
    """Pooled over the stretches of all services."""
    values = {}
    for name, percent in _PERCENTS.items():
        values[name] = adjusted_f1(windows, percent)
        values[f"random_{name}"] = _by_chance(windows, percent)
    return values


def adjusted_f1(windows: Judged, percent: float) -> float:
    """F1 of windows after stretches of which more than `percent` are flagged have been completed."""
    stretches = windows.runs(windows.is_anomalous)
    flagged = np.concatenate(([0], windows.is_flagged.cumsum()))
    own, length = flagged[stretches.behind] - flagged[stretches.first], stretches.behind - stretches.first
    hits = float(np.where(own > percent / 100 * length, length, own).sum())
    return _f1(hits, float((windows.is_flagged & ~windows.is_anomalous).sum()), float(length.sum()))


def _by_chance(windows: Judged, percent: float) -> float:
    if not len(windows):
        return nan
    rate = float(windows.is_flagged.mean())
    stretches = windows.runs(windows.is_anomalous)
    lengths = (stretches.behind - stretches.first).tolist()
    hits = fsum(_expected_hits(length, rate, percent) for length in lengths)
    anomalous = float(windows.is_anomalous.sum())
    return _f1(hits, rate * (len(windows) - anomalous), anomalous)


@lru_cache(maxsize=4096)
def _expected_hits(length: int, rate: float, percent: float) -> float:
    """Windows of a stretch that count as flagged where each one is by chance."""
    if rate in (0, 1):
        return rate * length
    most = floor(percent / 100 * length)
    short = [_probability(count, length, rate) for count in range(most + 1)]
    kept = fsum(count * share for count, share in enumerate(short))
    return kept + length * (1 - fsum(short))


def _probability(count: int, length: int, rate: float) -> float:
    ways = lgamma(length + 1) - lgamma(count + 1) - lgamma(length - count + 1)
    return exp(ways + count * log(rate) + (length - count) * log(1 - rate))


def _f1(hits: float, false_alarms: float, anomalous: float) -> float:
    return 2 * hits / (hits + false_alarms + anomalous) if anomalous else nan
