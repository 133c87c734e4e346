"""From scores to alarms to cases: when the machine says that something is wrong."""

from microservo.domain.alarms.alarms import Alarm, AlarmKeeper
from microservo.domain.alarms.calibration import Calibration, NoThreshold, Threshold
from microservo.domain.alarms.cases import Case, CaseKeeper
from microservo.domain.alarms.decider import AlarmDecider, Decision, decider_of, fault_free_until_us

__all__ = [
    "Alarm",
    "AlarmDecider",
    "AlarmKeeper",
    "Calibration",
    "Case",
    "CaseKeeper",
    "Decision",
    "NoThreshold",
    "Threshold",
    "decider_of",
    "fault_free_until_us",
]
