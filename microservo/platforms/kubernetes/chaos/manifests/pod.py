"""PodChaos: pods and containers that end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.pod_failure import PodFailure
from microservo.domain.faults.kinds.pod_kill import PodKill
from microservo.domain.faults.kinds.process_kill import ProcessKill
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "PodChaos"


def _kill(_fault: PodKill, _pod: Pod) -> Experiment:
    return Experiment(kind=OBJECT, spec={"action": "pod-kill", "gracePeriod": 0})


def _failure(_fault: PodFailure, _pod: Pod) -> Experiment:
    return Experiment(kind=OBJECT, spec={"action": "pod-failure"})


def _container_kill(_fault: ProcessKill, pod: Pod) -> Experiment:
    return Experiment(kind=OBJECT, spec={"action": "container-kill", "containerNames": [pod.containers[0]]})


BUILDERS: Mapping[type[Fault], Any] = {PodFailure: _failure, PodKill: _kill, ProcessKill: _container_kill}
