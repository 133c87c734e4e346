"""Precision, recall and F1 of incidents: was each one found, and what did that cost?

- `event_recall`: share of the incidents in one of whose anomalous windows an alarm was open. 0 to 1, higher
  is better; who always raises an alarm gets 1.
- `event_precision`: incidents found, divided by these and the false alarms, which are counted by five-
  minute buckets (see `false_alarms`): an endless alarm can't pass as one. 0 to 1, higher is better; by
  chance about the share of five minutes in which something begins.
- `event_f1`: of both. NaN without incidents.
- `composite_f1`: of the recall of incidents and the precision of single windows; by chance no more than 2p
  / (1 + p) with p the share of anomalous windows. Source: Garg et al., An Evaluation of Anomaly Detection
  and Diagnosis in Multivariate Time Series, 2021 (Fc1); TSB-AD calls it event-based F1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from microservo.domain.scoring.detection import Detection
from microservo.domain.scoring.ratios import harmonic, ratio
from microservo.domain.scoring.series import Float64


def event_metrics(judged: Detection) -> Mapping[str, Float64]:
    """Shape (1 + services,)."""
    found = judged.counted(judged.found.is_found)
    recall = ratio(found, judged.counted(judged.found.counts))
    precision = ratio(found, found + judged.false_alarms)
    return {
        "event_recall": recall,
        "event_precision": precision,
        "event_f1": harmonic(precision, recall),
        "composite_f1": harmonic(judged.confusion.precision(), recall),
    }


def event_replicates(judged: Detection, weights: Float64) -> Mapping[str, Float64]:
    """The same, pooled, where each incident counts as often as its weight says.

    Args:
        judged: what is judged.
        weights: shape (repetitions, incidents), whole numbers.
    """
    found = (weights * judged.found.is_found).sum(axis=1)
    recall = ratio(found, (weights * judged.found.counts).sum(axis=1))
    precision = ratio(found, found + np.float64(judged.false_alarms[0]))
    return {
        "event_recall": recall,
        "event_precision": precision,
        "event_f1": harmonic(precision, recall),
    }
