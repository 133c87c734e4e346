"""IOChaos: a file system between the container and a volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.disk_corrupt import DiskCorrupt
from microservo.domain.faults.kinds.disk_error import DiskError
from microservo.domain.faults.kinds.disk_slow import DiskSlow
from microservo.domain.faults.kinds.file_permissions import FilePermissions
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests.quantities import microseconds, whole_percent
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "IOChaos"


def _slow(fault: DiskSlow, pod: Pod) -> Experiment:
    return _of("latency", fault, pod, delay=microseconds(fault.delay_us))


def _error(fault: DiskError, pod: Pod) -> Experiment:
    return _of("fault", fault, pod, errno=fault.errno)


def _corrupt(fault: DiskCorrupt, pod: Pod) -> Experiment:
    mistake = {"filling": "random", "maxOccurrences": fault.occurrences, "maxLength": fault.length}
    return _of("mistake", fault, pod, mistake=mistake, methods=["read", "write"])


def _permissions(fault: FilePermissions, pod: Pod) -> Experiment:
    return _of("attrOverride", fault, pod, attr={"perm": fault.permissions})


def _of(
    action: str, fault: DiskSlow | DiskError | DiskCorrupt | FilePermissions, pod: Pod, **spec: Any
) -> Experiment:
    below = {"path": fault.path} if fault.path else {}
    return Experiment(
        kind=OBJECT,
        spec={
            "action": action,
            "volumePath": fault.volume,
            **below,
            "percent": whole_percent(fault.ratio),
            "containerNames": [pod.containers[0]],
            **spec,
        },
    )


BUILDERS: Mapping[type[Fault], Any] = {
    DiskCorrupt: _corrupt,
    DiskError: _error,
    DiskSlow: _slow,
    FilePermissions: _permissions,
}
