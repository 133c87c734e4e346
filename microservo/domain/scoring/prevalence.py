"""Precision as it would be if anomalies were as rare as they are in life.

A campaign of faults makes far more windows anomalous than a year of operation does, and precision grows
with that. From the share of anomalous and of normal windows that are flagged, the precision at any
prevalence follows: `p t / (p t + (1 - p) f)`.

- Range 0 to 1, higher is better; by chance, and for who always raises an alarm, the prevalence itself. NaN
  where nothing is flagged or one kind of window is missing.
- Source: Axelsson, The Base-Rate Fallacy and the Difficulty of Intrusion Detection, 2000.
"""

from __future__ import annotations

from collections.abc import Mapping

from microservo.domain.scoring.point import Confusion
from microservo.domain.scoring.ratios import ratio
from microservo.domain.scoring.series import Float64

PREVALENCES = {"precision_at_1_percent": 0.01, "precision_at_0_1_percent": 0.001}


def prevalence_metrics(found: Confusion) -> Mapping[str, Float64]:
    """Shape (1 + services,)."""
    hit, false = found.true_share(), found.false_share()
    return {
        name: ratio(share * hit, share * hit + (1 - share) * false) for name, share in PREVALENCES.items()
    }
