"""A fault for each kind of object that Chaos Mesh has, as we ask for it and as others do."""

from __future__ import annotations

from collections.abc import Mapping

from microservo.adapters.clock import now_us
from microservo.domain.faults.base import Fault
from microservo.domain.faults.catalogue import KINDS
from microservo.platforms.kubernetes.api import Json, KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import manifest
from microservo.platforms.kubernetes.chaos.manifests import BUILDERS, OBJECTS, experiment_of
from microservo.platforms.kubernetes.discovery import Discovery

KILLS = ("pod-kill", "process-kill")
LASTING = sorted(BUILDERS.keys() - set(KILLS))
ONE_OF_EACH: Mapping[str, str] = {OBJECTS[kind]: kind for kind in reversed(LASTING)}
"""A kind of fault for each kind of object."""


def example(kind: str) -> Fault:
    """A strong fault of a kind."""
    return KINDS[kind].from_text(KINDS[kind].strong)


def object_of_others(api: KubernetesApi, instance: str, kind: str, name: str) -> Json:
    """What somebody else would ask of Chaos Mesh for a kind of fault on a pod."""
    discovery = Discovery(api, [instance.partition("/")[0]], now_us)
    pod = discovery.pod(instance)
    assert pod is not None
    peers = [each for each in discovery.pods() if each != pod]
    body = manifest(experiment_of(example(kind), pod), fault_id=name, pod=pod, peers=peers)
    return body | {"metadata": {"name": name}}
