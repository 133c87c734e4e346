"""The states that Chaos Mesh goes through, played for each kind that lasts, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from cluster_world import Behaviour, ChaosController, Workloads
from kubernetes_cluster import Cluster, new_namespace

from microservo.domain.faults.base import Fault
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, collection, name_of
from microservo.platforms.kubernetes.chaos.manifests import BUILDERS, OBJECTS
from microservo.platforms.kubernetes.chaos.mechanism import Patience
from microservo.platforms.kubernetes.chaos.status import PAUSE_ANNOTATION
from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.platforms.mechanism import Confirmation
from microservo.retry import retry
from microservo.testing import eventually

pytestmark = pytest.mark.integration

T = TypeVar("T")
LASTING = sorted(kind for kind in BUILDERS if not KINDS[kind].one_shot)
PARTITION = "network-partition"
# Kinds take turns at one API server: what is waited for in vain must be long enough for all of them.
PATIENCE = Patience(selected=5.0, injected=5.0, recovered=5.0)
TIMEOUT_S = 60.0


class Cases:
    """A fault of each kind, on a pod of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self.api = cluster.api()
        workloads = Workloads(self.api, new_namespace(self.api))
        (self.front,) = workloads.deploy("front")
        self.namespace = workloads.namespace
        self.pods = dict(zip(LASTING, workloads.deploy("back", replicas=len(LASTING)), strict=True))
        self.controller = ChaosController(workloads)
        self.platform = KubernetesPlatform(self.api, [self.namespace], patience=PATIENCE)

    def each(self, act: Callable[[str], T]) -> dict[str, T]:
        """What comes of it for every kind, all at once."""
        with ThreadPoolExecutor(len(LASTING)) as pool:
            return dict(zip(LASTING, pool.map(act, LASTING), strict=True))

    def fault(self, kind: str) -> Fault:
        peer = {"peer": "front"} if kind == PARTITION else {}
        return KINDS[kind].from_text({**KINDS[kind].strong, **peer})

    def apply(self, kind: str) -> Confirmation:
        return self.platform.mechanisms(kind)[0].apply(self.pods[kind], "f", self.fault(kind).wire())

    def recover(self, kind: str) -> Confirmation:
        return self.platform.mechanisms(kind)[0].recover(self.pods[kind], "f", self.fault(kind).wire())

    def recovered(self, kind: str) -> Confirmation:
        return retry(lambda: self.recover(kind), timeout_s=TIMEOUT_S)

    def holds(self, kind: str) -> bool:
        return self.platform.mechanisms(kind)[0].holds(self.pods[kind], "f", self.fault(kind).wire())

    def pause(self, kind: str, text: str) -> None:
        path = f"{collection(self.namespace, OBJECTS[kind])}/{name_of('f', self.pods[kind])}"
        self.api.merge(path, {"metadata": {"annotations": {PAUSE_ANNOTATION: text}}})

    def stamped_us(self, kind: str, operation: str) -> list[int]:
        """When the controller did it to the pod of a kind, or to the container in it; a partition has two."""
        pods = (self.pods[kind], self.front) if kind == PARTITION else (self.pods[kind],)
        return [
            at_us
            for (record, done), all_us in self.controller.stamped_us.items()
            if done == operation and f"{record}/".startswith(tuple(f"{pod}/" for pod in pods))
            for at_us in all_us
        ]

    def left(self) -> list[str]:
        """The objects that are still there."""
        return [
            each["metadata"]["name"]
            for kind in PLURALS
            for each in self.api.get(collection(self.namespace, kind))["items"]
        ]


def why(act: Callable[[], object]) -> str:
    """What is said where something can't be done."""
    with pytest.raises((InvalidInput, Retryable)) as raised:
        act()
    return str(raised.value)


@pytest.fixture
def cases(kubernetes_cluster: Cluster) -> Iterator[Cases]:
    found = Cases(kubernetes_cluster)
    with found.controller.running():
        yield found


def test_every_kind_is_told_as_chaos_mesh_has_it_from_its_first_failure_to_its_end(cases: Cases) -> None:
    cases.controller.behaviour = Behaviour(injects=False)
    reasons = cases.each(lambda kind: why(lambda: cases.apply(kind)))
    assert {kind for kind in LASTING if "unable to flush ip sets for pod" not in reasons[kind]} == set()
    cases.each(cases.recovered)

    cases.controller.behaviour = Behaviour(selects=False)
    reasons = cases.each(lambda kind: why(lambda: cases.apply(kind)))
    assert {kind for kind in LASTING if "no target has been selected" not in reasons[kind]} == set()
    cases.each(cases.recovered)
    assert cases.left() == []

    cases.controller.behaviour = Behaviour()
    applied = cases.each(cases.apply)
    assert {kind: each.at_us for kind, each in applied.items()} == {
        kind: min(cases.stamped_us(kind, "Apply")) for kind in LASTING
    }
    assert all(cases.each(cases.holds).values())

    cases.each(lambda kind: cases.pause(kind, "true"))
    eventually(lambda: not any(cases.each(cases.holds).values()), timeout_s=TIMEOUT_S, what="all are paused")
    cases.each(lambda kind: cases.pause(kind, "false"))
    eventually(lambda: all(cases.each(cases.holds).values()), timeout_s=TIMEOUT_S, what="all go on")

    cases.controller.behaviour = Behaviour(recovers=False)
    reasons = cases.each(lambda kind: why(lambda: cases.recover(kind)))
    assert {kind for kind in LASTING if "container daemon is not reachable" not in reasons[kind]} == set()
    cases.controller.behaviour = Behaviour()
    ended = cases.each(cases.recovered)
    assert {kind: each.at_us for kind, each in ended.items()} == {
        kind: max(cases.stamped_us(kind, "Recover")) for kind in LASTING
    }
    assert cases.left() == []
