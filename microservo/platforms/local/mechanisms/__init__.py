"""How faults are really put in force on the instances of a target: one mechanism per module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from microservo.domain.faults.base import MechanismName
from microservo.platforms.local.mechanisms.control_api import ControlApi
from microservo.platforms.local.mechanisms.nothing import Nothing
from microservo.platforms.local.mechanisms.process import ProcessSignals
from microservo.platforms.mechanism import Confirmation, Mechanism, TargetInstance

__all__ = ["Confirmation", "Mechanism", "TargetInstance", "local_mechanisms"]


def local_mechanisms(clock: Callable[[], int]) -> Mapping[MechanismName, Mechanism]:
    """The mechanisms of the local target; `clock` gives epoch microseconds UTC."""
    return {
        "none": Nothing(clock),
        "process": ProcessSignals(clock),
        "workload": ControlApi(lambda instance: instance.control_url),
        "sidecar": ControlApi(lambda instance: instance.sidecar_url),
    }
