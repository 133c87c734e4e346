"""How many times better than one who knows nothing, or only which service it looks at.

- `lift_over_random`: `auc_pr` divided by the share of anomalous windows, which is what chance gets.
- `lift_over_constant`: `auc_pr` divided by that of the best constant score for each service, the share of
  its windows that are anomalous: where faults hit some services more often, this one looks clever.

0 or more, higher is better, 1 is the baseline; NaN where `auc_pr` is. Within one service both baselines are
one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from microservo.domain.scoring.ratios import or_zero, ratio
from microservo.domain.scoring.series import Float64, Judged


def lift_metrics(windows: Judged, auc_pr: Float64) -> Mapping[str, Float64]:
    """Shape (1 + services,).

    Args:
        windows: that were judged.
        auc_pr: of all services, then of each.
    """
    shares = ratio(windows.per_service(windows.is_anomalous), windows.counted())
    constant = shares.copy()
    constant[0] = constant_precision(windows)
    return {"lift_over_random": ratio(auc_pr, shares), "lift_over_constant": ratio(auc_pr, constant)}


def constant_precision(windows: Judged) -> float:
    """`auc_pr` of who gives every window of a service the share of its windows that are anomalous."""
    anomalous, counted = windows.per_service(windows.is_anomalous)[1:], np.diff(windows.bounds)
    share = or_zero(ratio(anomalous, counted))
    is_flagged = share[:, None] <= share
    precision = ratio((is_flagged * anomalous).sum(axis=1), (is_flagged * counted).sum(axis=1))
    weighed = np.where(anomalous > 0, anomalous * precision, 0).cumsum()
    return float(ratio(weighed[-1] if len(weighed) else 0, anomalous.sum()))
