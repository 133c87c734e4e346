"""KernelChaos: the kernel's own injection of faults, for the processes of the container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.kernel_fault import KernelFault
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests.quantities import whole_percent
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "KernelChaos"


def _fault(fault: KernelFault, pod: Pod) -> Experiment:
    request = {"failtype": fault.fails, "probability": whole_percent(fault.ratio), "times": fault.times}
    return Experiment(kind=OBJECT, spec={"failKernRequest": request, "containerNames": [pod.containers[0]]})


BUILDERS: Mapping[type[Fault], Any] = {KernelFault: _fault}
