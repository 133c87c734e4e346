"""The platform of a target whose instances are pods of a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType

from microservo.adapters.clock import now_us
from microservo.domain.faults.catalogue import kind_named
from microservo.domain.graph import Edge
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.platforms.kubernetes.api import KubernetesApi, NotFound
from microservo.platforms.kubernetes.chaos.manifests import OBJECTS
from microservo.platforms.kubernetes.chaos.mechanism import ChaosMesh, Patience
from microservo.platforms.kubernetes.chaos.objects import ChaosObjects
from microservo.platforms.kubernetes.chaos.replacement import Replacements
from microservo.platforms.kubernetes.chaos.watch import OthersFaults
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.kubernetes.meter import PodMeter
from microservo.platforms.kubernetes.pods import Pod
from microservo.platforms.mechanism import Mechanism
from microservo.platforms.noop import NoopMechanism
from microservo.platforms.platform import Instance, InstanceChange
from schemas.records import FaultRequest


class KubernetesPlatform:
    """`Platform` of the pods of some namespaces.

    Who may call whom is not known beforehand: the calls themselves show it.

    Args:
        api: the cluster.
        namespaces: those that belong to the target.
        fault_namespaces: those in which others keep objects of Chaos Mesh that act on it, besides.
        clock: epoch microseconds UTC.
        patience: how long Chaos Mesh is waited for.
    """

    name = "kubernetes"

    def __init__(
        self,
        api: KubernetesApi,
        namespaces: Sequence[str],
        *,
        fault_namespaces: Sequence[str] = (),
        clock: Callable[[], int] = now_us,
        patience: Patience | None = None,
    ) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)
        self._discovery = Discovery(api, namespaces, clock)
        self._objects = ChaosObjects(api)
        # One book of both: a pod that came for one kill came for no other, whoever made them.
        replacements = Replacements()
        self._chaos_mesh = ChaosMesh(
            self._objects, self._discovery, clock, replacements=replacements, patience=patience
        )
        self._noop = NoopMechanism(clock)
        watched = tuple(dict.fromkeys((*namespaces, *fault_namespaces)))
        self._others = OthersFaults(
            api, watched, self._objects, self._discovery, clock, replacements=replacements
        )

    def instances(self) -> Sequence[Instance]:
        return [self._discovery.instance(pod) for pod in self._pods()]

    def edges(self) -> Iterable[Edge]:
        self._pods()
        return ()

    def mechanisms(self, kind: str) -> Sequence[Mechanism]:
        wanted = kind_named(kind).mechanisms
        here: Mapping[str, Mechanism] = {each.name: each for each in (self._noop, self._chaos_mesh)}
        found = [here[name] for name in wanted if name in here]
        is_carried = kind not in OBJECTS or OBJECTS[kind] in self._objects.kinds()
        return [each for each in found if each is self._noop or is_carried]

    def watch(self, on_change: Callable[[InstanceChange], None]) -> AbstractContextManager[None]:
        return self._discovery.following(on_change)

    def watch_faults(
        self, on_request: Callable[[FaultRequest], None], *, left: Mapping[str, str] = MappingProxyType({})
    ) -> AbstractContextManager[None]:
        return self._others.following(on_request, left)

    def force(self, instance: str, fault_id: str, kind: str) -> None:
        if kind not in OBJECTS:
            msg = f"{kind} is not carried by Chaos Mesh, so there is nothing to give up"
            raise InvalidInput(msg)
        self._chaos_mesh.force(instance, fault_id, kind)

    def meter(self) -> PodMeter:
        return PodMeter(self._api, self._discovery, self._namespaces)

    def _pods(self) -> list[Pod]:
        try:
            pods = self._discovery.pods()
        except (Retryable, NotFound) as error:
            raise Unavailable(str(error)) from error
        if not pods:
            msg = (
                f"there are no pods in {', '.join(self._namespaces)}; deploy the target there, or name others"
            )
            raise Unavailable(msg)
        return pods
