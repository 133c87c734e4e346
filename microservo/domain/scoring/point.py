"""Precision, recall and F1 of single windows.

Each window in which an alarm is open is a claim. Accuracy is left out on purpose: who never says anything
has the accuracy of the normal windows' share.

- Range 0 to 1, higher is better. An alarm by chance has the share of anomalous windows as precision, and
  the share of flagged windows as recall.
- Source: scikit-learn, `precision_recall_fscore_support`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from microservo.domain.scoring.ratios import harmonic, ratio
from microservo.domain.scoring.series import Float64, Int64, Judged


@dataclass(frozen=True, slots=True)
class Confusion:
    """Counts of windows, shape (1 + services,): of all services first, then of each."""

    hits: Int64
    false_alarms: Int64
    misses: Int64
    rest: Int64

    def precision(self) -> Float64:
        """Share of flagged windows that are anomalous; NaN without any."""
        return ratio(self.hits, self.hits + self.false_alarms)

    def true_share(self) -> Float64:
        """Share of anomalous windows that were flagged; NaN without any."""
        return ratio(self.hits, self.hits + self.misses)

    def false_share(self) -> Float64:
        """Share of normal windows that were flagged; NaN without any."""
        return ratio(self.false_alarms, self.false_alarms + self.rest)


def confusion(windows: Judged) -> Confusion:
    """Counts flagged and anomalous windows."""
    flagged = windows.per_service(windows.is_flagged)
    anomalous = windows.per_service(windows.is_anomalous)
    hits = windows.per_service(windows.is_flagged & windows.is_anomalous)
    rest = windows.counted() - anomalous - flagged + hits
    return Confusion(hits, flagged - hits, anomalous - hits, rest)


def point_metrics(found: Confusion) -> Mapping[str, Float64]:
    """Shape (1 + services,). Precision is NaN where nothing is flagged, recall where nothing is anomalous."""
    precision, recall = found.precision(), found.true_share()
    return {"point_precision": precision, "point_recall": recall, "point_f1": harmonic(precision, recall)}


def coverage(windows: Judged) -> Mapping[str, Float64]:
    """Share of the windows that were scored, shape (1 + services,), so that silence can be told from calm."""
    return {"coverage": ratio(windows.per_service(windows.is_ready), windows.counted())}
