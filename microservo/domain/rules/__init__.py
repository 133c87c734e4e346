"""Rules: from what is measured of hosts and containers to what is to be done about each. Pure, in columns.

::

    points, scores, ranks ─► Measurements ─┐
    simulated metrics ─► simulate ─────────┤
    rules ─────────────────────────────────┼─► evaluate ─► Outcome ─► Streaks ─► slots to act on
    services and apps ─► Membership ───────┘       ▲           │
                                                   └─ before ──┘
"""

from microservo.domain.rules.evaluation import Evidence, Outcome, evaluate
from microservo.domain.rules.fields import ANOMALY_SCORE, FIELDS, ROOT_CAUSE_RANK, Field, check_field
from microservo.domain.rules.measurements import EntityKind, Measurements
from microservo.domain.rules.membership import Membership
from microservo.domain.rules.rule import (
    DECISIONS,
    HOST_DECISIONS,
    MODES,
    OPERATORS,
    SCOPES,
    SERVICE_DECISIONS,
    Condition,
    Decided,
    Mode,
    Operator,
    Rule,
    Scope,
    check_rules,
)
from microservo.domain.rules.shipped import SHIPPED_RULES
from microservo.domain.rules.simulated import SimulatedMetric, check_simulated, simulated_values
from microservo.domain.rules.streaks import HOST_STREAKS, SERVICE_STREAKS, StreakPolicy, Streaks

__all__ = [
    "ANOMALY_SCORE",
    "DECISIONS",
    "FIELDS",
    "HOST_DECISIONS",
    "HOST_STREAKS",
    "MODES",
    "OPERATORS",
    "ROOT_CAUSE_RANK",
    "SCOPES",
    "SERVICE_DECISIONS",
    "SERVICE_STREAKS",
    "SHIPPED_RULES",
    "Condition",
    "Decided",
    "EntityKind",
    "Evidence",
    "Field",
    "Measurements",
    "Membership",
    "Mode",
    "Operator",
    "Outcome",
    "Rule",
    "Scope",
    "SimulatedMetric",
    "StreakPolicy",
    "Streaks",
    "check_field",
    "check_rules",
    "check_simulated",
    "evaluate",
    "simulated_values",
]
