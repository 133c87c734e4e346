"""What is asked of Chaos Mesh for one fault on one pod; pure.

Only what versions 2.5 to 2.8 have in common is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from microservo.domain.faults.catalogue import LONGEST_US
from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.pods import Pod

GROUP = "chaos-mesh.org"
API_VERSION = f"{GROUP}/v1alpha1"
ROOT = f"/apis/{API_VERSION}"
PLURALS: Mapping[str, str] = {
    "PodChaos": "podchaos",
    "NetworkChaos": "networkchaos",
    "StressChaos": "stresschaos",
    "IOChaos": "iochaos",
    "TimeChaos": "timechaos",
    "DNSChaos": "dnschaos",
    "HTTPChaos": "httpchaos",
    "JVMChaos": "jvmchaos",
    "KernelChaos": "kernelchaos",
    "BlockChaos": "blockchaos",
}
"""The kinds of objects that are faults of pods, with the plurals of their paths."""

MANAGER = {"app.kubernetes.io/managed-by": "microservo"}
"""The label of what we have made."""
FAULT_ANNOTATION = "microservo.io/fault"
POD_ANNOTATION = "microservo.io/pod-uid"
OWNER_ANNOTATION = "microservo.io/owner-uid"
"""What makes another pod when this one is gone."""
INSTANCE_LABEL = "microservo.io/instance"

_LEFT_ALONE_S = LONGEST_US // 1_000_000 + 600
"""Chaos Mesh ends by itself what nobody ended that much later: no cluster stays broken for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is particular to a kind.

    Attributes:
        kind: of the object, for example NetworkChaos.
        spec: without what pods it acts on and for how long.
        peer: service on the other side; empty for none.
    """

    kind: str
    spec: Mapping[str, Any]
    peer: str = ""


def manifest(experiment: Experiment, *, fault_id: str, pod: Pod, peers: Sequence[Pod] = ()) -> Json:
    """The object that puts a fault in force on a pod."""
    spec: Json = {
        **experiment.spec,
        "mode": "all",
        "selector": _selector([pod]),
        "duration": f"{_LEFT_ALONE_S}s",
    }
    if experiment.peer:
        spec["target"] = {"mode": "all", "selector": _selector(peers)}
    return {
        "apiVersion": API_VERSION,
        "kind": experiment.kind,
        "metadata": {
            "name": name_of(fault_id, pod.id),
            "namespace": pod.namespace,
            "labels": {**MANAGER, INSTANCE_LABEL: instance_label(pod.id)},
            "annotations": {
                FAULT_ANNOTATION: fault_id,
                POD_ANNOTATION: pod.uid,
                OWNER_ANNOTATION: pod.owner.uid,
            },
        },
        "spec": spec,
    }


def name_of(fault_id: str, instance: str) -> str:
    """The name of the object of a fault on an instance: always the same, so that none is made twice."""
    return f"microservo-{_digest(f'{fault_id} {instance}')}"


def instance_label(instance: str) -> str:
    """What stands for an instance in a label, which takes fewer signs and is shorter than a pod's name."""
    return _digest(instance)


def collection(namespace: str, kind: str) -> str:
    """The path of all objects of a kind."""
    return f"{ROOT}/namespaces/{namespace}/{PLURALS[kind]}"


def _selector(pods: Sequence[Pod]) -> Json:
    by_namespace: dict[str, list[str]] = {}
    for pod in pods:
        by_namespace.setdefault(pod.namespace, []).append(pod.name)
    return {"pods": by_namespace}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
