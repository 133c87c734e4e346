"""HTTPChaos: a proxy before the container's port, which acts on every request that it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from microservo.domain.faults.base import Fault
from microservo.domain.faults.kinds.connection_abort import ConnectionAbort
from microservo.domain.faults.kinds.http_delay import HttpDelay
from microservo.domain.faults.kinds.http_patch import HttpPatch
from microservo.domain.faults.kinds.http_replace import HttpReplace
from microservo.errors import InvalidInput
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests.quantities import microseconds
from microservo.platforms.kubernetes.pods import Pod

OBJECT = "HTTPChaos"


def _delay(fault: HttpDelay, pod: Pod) -> Experiment:
    if fault.ratio != 1:
        msg = f"Chaos Mesh delays every request, not {fault.ratio:.4g} of them; leave the ratio out"
        raise InvalidInput(msg)
    return _of("Request", pod, fault.endpoint, delay=microseconds(fault.delay_us))


def _abort(fault: ConnectionAbort, pod: Pod) -> Experiment:
    return _of("Request", pod, fault.endpoint, abort=True)


def _replace(fault: HttpReplace, pod: Pod) -> Experiment:
    return _of("Response", pod, fault.endpoint, replace={"code": fault.status})


def _patch(fault: HttpPatch, pod: Pod) -> Experiment:
    value = json.dumps({fault.field: fault.value})
    return _of("Response", pod, fault.endpoint, patch={"body": {"type": "JSON", "value": value}})


def _of(target: str, pod: Pod, endpoint: str, **spec: Any) -> Experiment:
    if not pod.port:
        msg = (
            f"the container {pod.containers[0]} of {pod.id} declares no port, so nothing can come before it; "
            "add ports.containerPort to its specification"
        )
        raise InvalidInput(msg)
    path = f"/{endpoint.lstrip('/')}" if endpoint else "*"
    return Experiment(kind=OBJECT, spec={"target": target, "port": pod.port, "path": path, **spec})


BUILDERS: Mapping[type[Fault], Any] = {
    ConnectionAbort: _abort,
    HttpDelay: _delay,
    HttpPatch: _patch,
    HttpReplace: _replace,
}
