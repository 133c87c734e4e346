"""What each kind of fault asks of Chaos Mesh: one module for each kind of its objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from microservo.domain.faults.base import Fault, Wire
from microservo.domain.faults.catalogue import kind_named
from microservo.errors import InvalidInput
from microservo.platforms.kubernetes.chaos.experiment import Experiment
from microservo.platforms.kubernetes.chaos.manifests import (
    block,
    dns,
    http,
    io,
    jvm,
    kernel,
    network,
    pod,
    stress,
    time,
)
from microservo.platforms.kubernetes.pods import Pod

Build = Callable[[Any, Pod], Experiment]

BUILDERS: Mapping[str, Build] = {
    kind.kind: build
    for module in (block, dns, http, io, jvm, kernel, network, pod, stress, time)
    for kind, build in module.BUILDERS.items()
}
"""By the name of the kind of fault."""

OBJECTS: Mapping[str, str] = {
    kind.kind: module.OBJECT
    for module in (block, dns, http, io, jvm, kernel, network, pod, stress, time)
    for kind in module.BUILDERS
}
"""Which kind of object carries a kind of fault."""


def fault_of(wire: Wire) -> Fault:
    """The fault that a mechanism was given.

    Raises:
        InvalidInput: these are no parameters of its kind.
    """
    kind, values = wire
    try:
        return kind_named(kind)(**values)
    except TypeError as error:
        msg = f"{dict(values)} are no parameters of {kind}: {error}"
        raise InvalidInput(msg) from error


def experiment_of(fault: Fault, target: Pod) -> Experiment:
    """What a fault asks of Chaos Mesh on a pod.

    Raises:
        InvalidInput: this pod can't carry it, or Chaos Mesh can't do so with these parameters.
    """
    return BUILDERS[fault.kind](fault, target)
