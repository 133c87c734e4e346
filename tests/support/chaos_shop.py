"""A namespace of a real API server with two services, Chaos Mesh as the tests play it, and our platform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chaos_controller import ChaosController
from cluster_world import Workloads
from kubernetes_cluster import Cluster, new_namespace

from microservo.domain.faults.base import Fault
from microservo.platforms.kubernetes.api import Json, KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import API_VERSION, collection
from microservo.platforms.kubernetes.chaos.mechanism import Patience
from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.platforms.mechanism import Confirmation, Mechanism
from microservo.retry import retry

QUICK = Patience(selected=6.0, injected=8.0, recovered=5.0)
_PATIENCE_S = 60.0


@dataclass
class ChaosShop:
    """What there is, and what acts on it."""

    api: KubernetesApi
    workloads: Workloads
    controller: ChaosController
    platform: KubernetesPlatform
    cart: Sequence[str]
    front: str

    @property
    def namespace(self) -> str:
        return self.workloads.namespace

    def mechanism(self, kind: str) -> Mechanism:
        return self.platform.mechanisms(kind)[0]

    def apply(self, fault: Fault, fault_id: str = "f1", instance: str = "") -> Confirmation:
        return self.mechanism(fault.kind).apply(instance or self.cart[0], fault_id, fault.wire())

    def recover(self, fault: Fault, fault_id: str = "f1", instance: str = "") -> Confirmation:
        """Ends a fault, asked again as the injector does."""
        mechanism = self.mechanism(fault.kind)
        return retry(
            lambda: mechanism.recover(instance or self.cart[0], fault_id, fault.wire()),
            timeout_s=_PATIENCE_S,
        )

    def made(self, kind: str, name: str) -> Json:
        return self.api.get(f"{collection(self.namespace, kind)}/{name}")

    def stamped_us(self, operation: str, pod: str = "") -> Sequence[int]:
        return self.controller.stamped_us.get((pod or self.cart[0], operation), [])

    def make(self, kind: str, name: str, pods: Sequence[str], **spec: object) -> str:
        """Makes an object as others do; its path."""
        path = collection(self.namespace, kind)
        selector = {"pods": {self.namespace: [each.split("/")[1] for each in pods]}}
        body = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name},
            "spec": {"mode": "all", "selector": selector, **spec},
        }
        self.api.create(path, body)
        return f"{path}/{name}"


@contextmanager
def running_shop(cluster: Cluster, patience: Patience = QUICK) -> Iterator[ChaosShop]:
    """A namespace of its own with `redis-cart` of two pods and `front` of one."""
    api = cluster.api()
    workloads = Workloads(api, new_namespace(api))
    cart, (front,) = workloads.deploy("redis-cart", replicas=2), workloads.deploy("front")
    controller = ChaosController(workloads)
    platform = KubernetesPlatform(api, [workloads.namespace], patience=patience)
    with controller.running():
        yield ChaosShop(api, workloads, controller, platform, cart, front)
