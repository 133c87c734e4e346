"""What comes of each sequence of states that each kind of Chaos Mesh's objects passes, on a real API server.

The controller is the tests': its phases are those of the real one, the instants that it writes are known.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from chaos_controller import Behaviour, ChaosController
from chaos_kinds import KILLS, LASTING, ONE_OF_EACH, example, object_of_others
from cluster_world import Workloads
from kubernetes_cluster import Cluster, new_namespace

from microservo.errors import InvalidInput, Retryable
from microservo.platforms.kubernetes.api import KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, collection, name_of
from microservo.platforms.kubernetes.chaos.manifests import OBJECTS
from microservo.platforms.kubernetes.chaos.mechanism import Patience
from microservo.platforms.kubernetes.chaos.others import kind_of
from microservo.platforms.kubernetes.chaos.status import PAUSE_ANNOTATION
from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.platforms.mechanism import Confirmation
from microservo.retry import retry
from microservo.testing import eventually
from schemas.records import FaultRequest

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
SHORT = Patience(selected=4.0, injected=4.0, recovered=4.0)


@dataclass
class Shop:
    """Pods, and what acts on them."""

    api: KubernetesApi
    workloads: Workloads
    controller: ChaosController
    platform: KubernetesPlatform
    cart: str

    @property
    def namespace(self) -> str:
        return self.workloads.namespace

    def apply(self, kind: str, fault_id: str) -> Confirmation:
        fault = example(kind)
        return self.platform.mechanisms(kind)[0].apply(self.cart, fault_id, fault.wire())

    def recover(self, kind: str, fault_id: str, timeout_s: float = PATIENCE_S) -> Confirmation:
        mechanism, fault = self.platform.mechanisms(kind)[0], example(kind)
        return retry(lambda: mechanism.recover(self.cart, fault_id, fault.wire()), timeout_s=timeout_s)

    def holds(self, kind: str, fault_id: str) -> bool:
        return self.platform.mechanisms(kind)[0].holds(self.cart, fault_id, example(kind).wire())

    def stamped_us(self, name: str, operation: str) -> list[int]:
        return self.controller.stamped_by_object_us.get((name, operation), [])

    @contextmanager
    def behaving(self, behaviour: Behaviour) -> Iterator[None]:
        """Has Chaos Mesh behave so."""
        self.controller.behaviour = behaviour
        try:
            yield
        finally:
            self.controller.behaviour = Behaviour()

    def left(self) -> dict[str, list[str]]:
        """Names of what is there, by its kind."""
        found = {kind: self.api.get(collection(self.namespace, kind))["items"] for kind in PLURALS}
        return {kind: [each["metadata"]["name"] for each in items] for kind, items in found.items() if items}


@pytest.fixture(scope="module")
def shop(kubernetes_cluster: Cluster) -> Iterator[Shop]:
    api = kubernetes_cluster.api()
    workloads = Workloads(api, new_namespace(api))
    (cart,), _ = workloads.deploy("redis-cart"), workloads.deploy("back")
    platform = KubernetesPlatform(api, [workloads.namespace], patience=SHORT)
    controller = ChaosController(workloads)
    with controller.running():
        yield Shop(api, workloads, controller, platform, cart)


def refusal(act: Callable[[], object], error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        act()
    return str(caught.value)


def of_each(act: Callable[[str], str]) -> dict[str, str]:
    """What comes of a kind of fault for each kind of object, all at once, for each takes its time."""
    with ThreadPoolExecutor(len(ONE_OF_EACH)) as threads:
        return dict(zip(ONE_OF_EACH, threads.map(act, ONE_OF_EACH.values()), strict=True))


def test_there_is_a_fault_for_each_kind_of_object() -> None:
    assert ONE_OF_EACH.keys() == PLURALS.keys()


@pytest.mark.parametrize("kind", LASTING)
def test_injected_and_recovered(kind: str, shop: Shop) -> None:
    fault_id = f"{kind}-whole"
    name = name_of(fault_id, shop.cart)
    applied = shop.apply(kind, fault_id)
    assert applied.at_us in shop.stamped_us(name, "Apply")
    assert shop.holds(kind, fault_id)
    recovered = shop.recover(kind, fault_id)
    assert recovered.at_us in shop.stamped_us(name, "Recover")
    assert not shop.holds(kind, fault_id)
    assert name not in shop.left().get(OBJECTS[kind], [])


def test_failed_selection(shop: Shop) -> None:
    def refused(kind: str) -> str:
        return refusal(lambda: shop.apply(kind, f"{kind}-unselected"), InvalidInput)

    with shop.behaving(Behaviour(selects=False)):
        found = of_each(refused)
    assert found == {
        name: f"Chaos Mesh did not put {name} in force on {shop.cart}: "
        "Failed to select targets: no target has been selected"
        for name in ONE_OF_EACH
    }


def test_not_injected(shop: Shop) -> None:
    def refused(kind: str) -> str:
        return refusal(lambda: shop.apply(kind, f"{kind}-failed"), InvalidInput).rpartition(": ")[2]

    with shop.behaving(Behaviour(injects=False)):
        found = of_each(refused)
    # What is being applied can only be recovered when that is done.
    of_each(lambda kind: shop.recover(kind, f"{kind}-failed").evidence)
    assert shop.left() == {}
    assert found == dict.fromkeys(ONE_OF_EACH, "unable to flush ip sets for pod")


def test_stuck(shop: Shop) -> None:
    def stuck(kind: str) -> str:
        fault_id = f"{kind}-stuck"
        said = refusal(lambda: shop.recover(kind, fault_id, 0.0), Retryable)
        assert shop.cart in said.partition("still to be recovered: ")[2].partition(";")[0], said
        shop.platform.force(shop.cart, fault_id, kind)
        assert shop.recover(kind, fault_id).within_us is None, "when it ended is not known"
        return said.partition("; ")[2].partition(". ")[0].rpartition(": ")[2]

    for kind in ONE_OF_EACH.values():
        shop.apply(kind, f"{kind}-stuck")
    with shop.behaving(Behaviour(recovers=False)):
        found = of_each(stuck)
    assert found == dict.fromkeys(ONE_OF_EACH, "container daemon is not reachable")
    assert shop.left() == {}


@pytest.mark.parametrize("name", sorted(ONE_OF_EACH))
def test_paused_and_gone_on_by_others(name: str, shop: Shop) -> None:
    body = object_of_others(shop.api, shop.cart, ONE_OF_EACH[name], f"paused-{PLURALS[name]}")
    path = collection(shop.namespace, name)
    seen: queue.SimpleQueue[FaultRequest] = queue.SimpleQueue()

    def pause(value: str) -> None:
        changes = {"metadata": {"annotations": {PAUSE_ANNOTATION: value}}}
        shop.api.merge(f"{path}/{body['metadata']['name']}", changes)

    with shop.platform.watch_faults(seen.put):
        shop.api.create(path, body)
        requests = [seen.get(timeout=PATIENCE_S)]
        pause("true")
        requests.append(seen.get(timeout=PATIENCE_S))
        pause("false")
        requests.append(seen.get(timeout=PATIENCE_S))
        shop.api.delete(f"{path}/{body['metadata']['name']}")
        requests.append(seen.get(timeout=PATIENCE_S))
    begun, paused, resumed, ended = requests
    assert [each.action for each in requests] == ["declare", "stop", "declare", "stop"]
    assert {begun.kind, resumed.kind} == {kind_of(body)}
    assert {begun.service, resumed.service} == {"redis-cart"}
    assert (paused.fault_id, ended.fault_id) == (begun.fault_id, resumed.fault_id)
    starts_us, ends_us = (shop.stamped_us(body["metadata"]["name"], each) for each in ("Apply", "Recover"))
    assert {begun.start_at_us, resumed.start_at_us} <= set(starts_us)
    assert {paused.end_at_us, ended.end_at_us} <= set(ends_us)


@pytest.mark.parametrize("kind", KILLS)
def test_one_shot_of_others_is_begun_once_and_over_when_something_is_back_whatever_its_object_does(
    kind: str, shop: Shop
) -> None:
    (alone,) = shop.workloads.deploy(kind)
    body = object_of_others(shop.api, alone, kind, f"once-{kind}")
    body["metadata"]["annotations"] = {PAUSE_ANNOTATION: "true"}
    path, name = collection(shop.namespace, "PodChaos"), body["metadata"]["name"]
    seen: queue.SimpleQueue[FaultRequest] = queue.SimpleQueue()
    with shop.platform.watch(lambda change: None), shop.platform.watch_faults(seen.put):
        shop.api.create(path, body)
        begun = seen.get(timeout=PATIENCE_S)
        ended = seen.get(timeout=PATIENCE_S)
        shop.api.delete(f"{path}/{name}")
        eventually(lambda: name not in shop.left().get("PodChaos", []), what="its object to go")
    assert (begun.action, begun.service, begun.kind) == ("declare", kind, kind_of(body))
    assert (ended.action, ended.fault_id) == ("stop", begun.fault_id)
    assert [begun.start_at_us] == shop.stamped_us(name, "Apply")
    assert begun.start_at_us is not None
    assert ended.end_at_us is not None
    assert begun.start_at_us < ended.end_at_us
    assert seen.empty()


def test_a_container_that_is_killed_once_more_is_back_once_more(shop: Shop) -> None:
    for fault_id in ("killed-once", "killed-twice"):
        applied = shop.apply("process-kill", fault_id)
        recovered = shop.recover("process-kill", fault_id)
        assert recovered.evidence == f"{shop.cart} is ready"
        assert recovered.at_us > applied.at_us
