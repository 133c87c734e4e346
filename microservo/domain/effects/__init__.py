"""What faults really did to the telemetry of each service, measured from records.

::

    telemetry ─► History ─┬─ fault-free time ─► Baseline ─► Reference ──┐
                          └─ records that began while it is in force    ├─► tests at each look
    service-faults ─► ObservedFault: contract, rivals ──────────────────┘           │
                                       deviating records ─► intervals ─► FaultEffect, FaultVerdict

A fault's contract names the measures of each service before anybody looks. Each measure is tested on the
records that began while the fault was in force, against stretches of the same length from the service's
fault-free time. All tests and looks of a fault share one rate of false alarms (`EffectPolicy.alpha`). What
another fault explains as well is `shared`, and confirms neither.
"""

from microservo.domain.effects.histories import Histories
from microservo.domain.effects.observer import EffectObserver
from microservo.domain.effects.policy import EffectPolicy

__all__ = ["EffectObserver", "EffectPolicy", "Histories"]
