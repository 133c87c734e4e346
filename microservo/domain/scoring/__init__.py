"""How good an algorithm is: the metrics of the board, exact, and the same for the same records.

::

    windows, scores, labels ─► Series ─┐
    faults' effects ─► Incident        ├─► evaluate_detector ───┐
    alarms ─► Alarm                    ┘                        │
    root causes ─► Ranking ┬─ Fault ───► evaluate_ranker ───────┼─► Evaluation ─► Row ─► standings
    failure classes ─► Classified ─────► evaluate_classifier ───┘

Masked windows count for nobody: they leave before anything is worked out. A window that was not scored can't
be flagged and ranks below all others. One idea per module, each with definition, range, source, and what
chance gets; `catalogue` has them by name.
"""

from microservo.domain.scoring.bootstrap import Interval
from microservo.domain.scoring.budget import BudgetPoint, budget_curve
from microservo.domain.scoring.cases import Alarm, Classified, Fault, Incident, Ranking
from microservo.domain.scoring.catalogue import METRICS, Metric, metric, metrics_of
from microservo.domain.scoring.classification import ConfusionMatrix, confusion_matrix
from microservo.domain.scoring.detection import Detection, detection_of
from microservo.domain.scoring.evaluation import (
    Evaluation,
    evaluate_classifier,
    evaluate_detector,
    evaluate_ranker,
)
from microservo.domain.scoring.leaderboard import Row, Standing, Tally, medal_tally, standings
from microservo.domain.scoring.series import ANOMALOUS, MASKED, NORMAL, Series

__all__ = [
    "ANOMALOUS",
    "MASKED",
    "METRICS",
    "NORMAL",
    "Alarm",
    "BudgetPoint",
    "Classified",
    "ConfusionMatrix",
    "Detection",
    "Evaluation",
    "Fault",
    "Incident",
    "Interval",
    "Metric",
    "Ranking",
    "Row",
    "Series",
    "Standing",
    "Tally",
    "budget_curve",
    "confusion_matrix",
    "detection_of",
    "evaluate_classifier",
    "evaluate_detector",
    "evaluate_ranker",
    "medal_tally",
    "metric",
    "metrics_of",
    "standings",
]
