"""StressChaos: stress-ng in the container's own limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.cpu_hog import CpuHog
from microservo.domain.faults.kinds.memory_hog import MemoryHog
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests.quantities import whole_percent
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "StressChaos"


def _cpu(fault: CpuHog, pod: Pod) -> Experiment:
    return _of(pod, cpu={"workers": fault.workers, "load": whole_percent(fault.load_ratio)})


def _memory(fault: MemoryHog, pod: Pod) -> Experiment:
    return _of(pod, memory={"workers": 1, "size": f"{fault.bytes}B"})


def _of(pod: Pod, **stressors: Any) -> Experiment:
    return Experiment(kind=OBJECT, spec={"containerNames": [pod.containers[0]], "stressors": stressors})


BUILDERS: Mapping[type[Fault], Any] = {CpuHog: _cpu, MemoryHog: _memory}
