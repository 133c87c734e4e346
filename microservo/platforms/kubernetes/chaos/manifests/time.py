"""TimeChaos: what the container's processes read as the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.clock_skew import ClockSkew
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests.quantities import microseconds
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "TimeChaos"


def _skew(fault: ClockSkew, pod: Pod) -> Experiment:
    spec = {"timeOffset": microseconds(fault.offset_us), "containerNames": [pod.containers[0]]}
    return Experiment(kind=OBJECT, spec=spec)


BUILDERS: Mapping[type[Fault], Any] = {ClockSkew: _skew}
