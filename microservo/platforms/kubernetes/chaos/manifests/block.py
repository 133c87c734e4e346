"""BlockChaos: the block device under a volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.block_delay import BlockDelay
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests.quantities import microseconds
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "BlockChaos"


def _delay(fault: BlockDelay, pod: Pod) -> Experiment:
    delay = {
        "latency": microseconds(fault.latency_us),
        "jitter": microseconds(fault.jitter_us),
        "correlation": "0",
    }
    spec = {
        "action": "delay",
        "volumeName": fault.volume,
        "delay": delay,
        "containerNames": [pod.containers[0]],
    }
    return Experiment(kind=OBJECT, spec=spec)


BUILDERS: Mapping[type[Fault], Any] = {BlockDelay: _delay}
