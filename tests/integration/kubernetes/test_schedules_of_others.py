"""Schedules, Workflows and kubectl of others on a real API server: what each of them makes is declared.

The controllers are the tests': what they make, label, own and remove is as the real ones do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from chaos_controller import Behaviour, ChaosController
from chaos_schedules import Schedules
from cluster_world import Workloads
from kubernetes_cluster import Cluster, new_namespace

from microservo.platforms.kubernetes.api import Json, KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import API_VERSION, collection
from microservo.platforms.kubernetes.chaos.status import PAUSE_ANNOTATION
from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.testing import eventually
from schemas.records import FaultRequest

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0


@dataclass
class Shop:
    """Two services, who breaks them, and what is declared of that."""

    api: KubernetesApi
    workloads: Workloads
    controller: ChaosController
    schedules: Schedules
    platform: KubernetesPlatform
    elsewhere: str
    cart: list[str]
    front: str
    seen: list[FaultRequest] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return self.workloads.namespace

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Has what others do be declared, as the injector does."""
        with self.platform.watch(lambda change: None), self.platform.watch_faults(self.seen.append):
            yield

    def acts_on(self, *pods: str, **spec: object) -> Json:
        return {
            "mode": "all",
            "selector": {"pods": {self.namespace: [name_of(each) for each in pods]}},
            **spec,
        }

    def make(self, kind: str, name: str, spec: Json, namespace: str = "") -> str:
        path = collection(namespace or self.namespace, kind)
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.api.create(path, body)
        return f"{path}/{name}"

    def objects(self, kind: str) -> list[Json]:
        found: list[Json] = self.api.get(collection(self.namespace, kind))["items"]
        return found

    def declared(self, kind: str) -> list[FaultRequest]:
        return [each for each in self.seen if each.action == "declare" and each.kind == kind]

    def ended(self, kind: str) -> list[tuple[FaultRequest, FaultRequest]]:
        """Each declaration of a kind with that of its end."""
        stops = {each.fault_id: each for each in self.seen if each.action == "stop"}
        return [(each, stops[each.fault_id]) for each in self.declared(kind) if each.fault_id in stops]

    def until_ended(self, kind: str, times: int = 1) -> list[tuple[FaultRequest, FaultRequest]]:
        eventually(
            lambda: len(self.ended(kind)) >= times, timeout_s=PATIENCE_S, what=f"{times} ends of {kind}"
        )
        return self.ended(kind)[:times]

    def stamped_us(self, request: FaultRequest, operation: str) -> list[int]:
        name = name_of(request.parameters["object"])
        return self.controller.stamped_by_object_us.get((name, operation), [])

    def assert_exact(self, faults: list[tuple[FaultRequest, FaultRequest]]) -> None:
        """That each was in force from its first record to its last, to the microsecond."""
        for begun, over in faults:
            assert begun.start_at_us == min(self.stamped_us(begun, "Apply"))
            assert over.end_at_us == max(self.stamped_us(begun, "Recover"))


def name_of(path: str) -> str:
    return path.split("/")[1]


STRESS: Json = {"stressors": {"cpu": {"workers": 1, "load": 50}}}
DELAY: Json = {"action": "delay", "delay": {"latency": "10ms"}}


@pytest.fixture
def shop(kubernetes_cluster: Cluster) -> Iterator[Shop]:
    api = kubernetes_cluster.api()
    workloads, elsewhere = Workloads(api, new_namespace(api)), new_namespace(api, "chaos-mesh")
    cart, (front,) = workloads.deploy("redis-cart", replicas=2), workloads.deploy("front")
    controller = ChaosController(workloads, namespaces=(elsewhere,))
    schedules = Schedules(api, workloads.namespace)
    platform = KubernetesPlatform(api, [workloads.namespace], fault_namespaces=[elsewhere])
    with controller.running(), schedules.running():
        yield Shop(api, workloads, controller, schedules, platform, elsewhere, cart, front)


def test_each_recurrence_of_a_schedule_is_a_fault_of_its_own(shop: Shop) -> None:
    spec = shop.acts_on(*shop.cart, duration="1s", **STRESS)
    with shop.watched():
        shop.schedules.schedule("hourly", "StressChaos", spec, every_s=2)
        faults = shop.until_ended("stresschaos-cpu", 3)
    assert len({begun.fault_id for begun, _ in faults}) == 3
    assert len({begun.parameters["object"] for begun, _ in faults}) == 3
    for begun, _ in faults:
        assert (begun.service, begun.instances) == ("redis-cart", tuple(sorted(shop.cart)))
        assert begun.parameters["schedule"] == f"{shop.namespace}/hourly"
        assert str(begun.requested_by).endswith(" of Schedule hourly")
    shop.assert_exact(faults)


def test_a_schedule_that_is_paused_or_deleted_ends_what_it_has_in_force(shop: Shop) -> None:
    spec = shop.acts_on(shop.front, duration="600s", **DELAY)
    with shop.watched():
        path = shop.schedules.schedule("nightly", "NetworkChaos", spec, every_s=1)
        eventually(lambda: shop.declared("networkchaos-delay"), timeout_s=PATIENCE_S, what="its first fault")
        shop.api.merge(path, {"metadata": {"annotations": {PAUSE_ANNOTATION: "true"}}})
        shop.until_ended("networkchaos-delay")
        shop.api.merge(path, {"metadata": {"annotations": {PAUSE_ANNOTATION: "false"}}})
        eventually(
            lambda: len(shop.declared("networkchaos-delay")) == 2, timeout_s=PATIENCE_S, what="it to go on"
        )
        shop.api.delete(path)
        (first, paused), (second, deleted) = shop.until_ended("networkchaos-delay", 2)
    assert (first.fault_id[:-1], second.fault_id[-1]) == (second.fault_id[:-1], "2")
    assert [first.start_at_us, second.start_at_us] == shop.stamped_us(first, "Apply")
    assert [paused.end_at_us, deleted.end_at_us] == shop.stamped_us(first, "Recover")


def test_kills_of_a_schedule_are_over_when_the_container_is_back_though_their_objects_stay(
    shop: Shop,
) -> None:
    spec = shop.acts_on(shop.front, action="container-kill", containerNames=["app"])
    kind = "podchaos-container-kill"
    with shop.watched():
        shop.schedules.schedule("monkey", "PodChaos", spec, every_s=4, historyLimit=9)
        faults = shop.until_ended(kind, 2)
        objects = {each["metadata"]["name"] for each in shop.objects("PodChaos")}
    assert {name_of(begun.parameters["object"]) for begun, _ in faults} <= objects
    for begun, over in faults:
        assert [begun.start_at_us] == shop.stamped_us(begun, "Apply")
        assert begun.start_at_us is not None
        assert over.end_at_us is not None
        assert over.within_us is not None
        back_us = begun.start_at_us + round(shop.controller.restart_s * 1e6)
        # The API has whole seconds of it, and the test's kubelet is as late as the machine is busy.
        assert over.end_at_us + over.within_us >= back_us - 1_000_000
        assert over.end_at_us < begun.start_at_us + 4_000_000


def test_a_pod_that_others_kill_is_back_when_another_one_is_ready_in_its_place(shop: Shop) -> None:
    before = {each.id for each in shop.platform.instances()}
    with shop.watched():
        shop.make("PodChaos", "once", shop.acts_on(shop.cart[0], action="pod-kill"))
        ((begun, over),) = shop.until_ended("podchaos-pod-kill")
        after = {each.id for each in shop.platform.instances()}
    assert [begun.start_at_us] == shop.stamped_us(begun, "Apply")
    assert begun.instances == (shop.cart[0],)
    assert len(after - before) == 1
    assert over.end_at_us is not None
    assert begun.start_at_us is not None
    assert over.end_at_us > begun.start_at_us


def test_a_recurrence_that_kills_nothing_is_no_fault_and_those_after_it_are(shop: Shop) -> None:
    # chaos-mesh#2387, #4470: a kill whose pod was gone is tried for ever, and holds its Schedule up.
    spec = shop.acts_on(shop.front, action="container-kill", containerNames=["app"])
    shop.controller.behaviour = Behaviour(injects=False)
    kind = "podchaos-container-kill"

    def failing() -> list[str]:
        found = [each for each in shop.objects("PodChaos") if "unable to flush" in str(each.get("status"))]
        return [each["metadata"]["name"] for each in found]

    with shop.watched():
        shop.schedules.schedule("monkey", "PodChaos", spec, every_s=2, historyLimit=9)
        (name,) = eventually(failing, timeout_s=PATIENCE_S, what="a recurrence to fail")
        shop.api.delete(f"{collection(shop.namespace, 'PodChaos')}/{name}")
        eventually(lambda: name not in failing(), timeout_s=PATIENCE_S, what="it to go")
        assert shop.declared(kind) == []
        shop.controller.behaviour = Behaviour()
        faults = shop.until_ended(kind, 2)
    assert name not in {name_of(begun.parameters["object"]) for begun, _ in faults}


def test_each_node_of_a_workflow_is_a_fault_of_its_own(shop: Shop) -> None:
    slow = {"networkChaos": shop.acts_on(shop.front, **DELAY)}
    busy = {"stressChaos": shop.acts_on(*shop.cart, **STRESS)}
    lost = {"dnsChaos": shop.acts_on(shop.front, action="error", patterns=["cart"])}
    templates: list[Json] = [
        {"name": "all", "templateType": "Serial", "children": ["slow", "both"]},
        {"name": "both", "templateType": "Parallel", "children": ["busy", "lost"]},
        {"name": "slow", "templateType": "NetworkChaos", "deadline": "1s", **slow},
        {"name": "busy", "templateType": "StressChaos", "deadline": "2s", **busy},
        {"name": "lost", "templateType": "DNSChaos", "deadline": "2s", **lost},
    ]
    with shop.watched():
        shop.schedules.workflow("drill", templates, "all")
        (first,) = shop.until_ended("networkchaos-delay")
        (second,) = shop.until_ended("stresschaos-cpu")
        (third,) = shop.until_ended("dnschaos-error")
    faults = [first, second, third]
    shop.assert_exact(faults)
    assert len({begun.fault_id for begun, _ in faults}) == 3
    for begun, _ in faults:
        assert begun.parameters["workflow"] == f"{shop.namespace}/drill"
        assert str(begun.requested_by).endswith(" of Workflow drill")
    assert first[1].end_at_us is not None
    assert second[0].start_at_us is not None
    assert second[0].within_us is not None
    assert first[1].end_at_us < second[0].start_at_us + second[0].within_us, "one after the other"


def test_objects_that_others_keep_in_a_namespace_of_their_own_are_seen_where_it_is_named(shop: Shop) -> None:
    unaware: list[FaultRequest] = []
    alone = KubernetesPlatform(shop.api, [shop.namespace])
    with shop.watched(), alone.watch_faults(unaware.append):
        path = shop.make("StressChaos", "theirs", shop.acts_on(*shop.cart, **STRESS), shop.elsewhere)
        eventually(lambda: shop.declared("stresschaos-cpu"), timeout_s=PATIENCE_S, what="it to be declared")
        shop.api.delete(path)
        faults = shop.until_ended("stresschaos-cpu")
    shop.assert_exact(faults)
    assert faults[0][0].parameters["object"] == f"{shop.elsewhere}/theirs"
    assert unaware == []


def test_core_events_that_come_after_the_records_are_awaited(shop: Shop) -> None:
    shop.controller.behaviour = Behaviour(events_late_s=0.2)
    with shop.watched():
        path = shop.make("StressChaos", "late", shop.acts_on(*shop.cart, **STRESS))
        eventually(lambda: shop.declared("stresschaos-cpu"), timeout_s=PATIENCE_S, what="it to be declared")
        shop.api.delete(path)
        shop.assert_exact(shop.until_ended("stresschaos-cpu"))


def test_a_fault_that_comes_to_its_pods_one_after_another_is_declared_on_all_of_them(shop: Shop) -> None:
    shop.controller.behaviour = Behaviour(at_once=False)
    with shop.watched():
        path = shop.make("NetworkChaos", "slow", shop.acts_on(*shop.cart, **DELAY))
        (begun,) = eventually(
            lambda: shop.declared("networkchaos-delay"), timeout_s=PATIENCE_S, what="it to be declared"
        )
        assert begun.instances == tuple(sorted(shop.cart))
        shop.api.delete(path)
        shop.assert_exact(shop.until_ended("networkchaos-delay"))


def test_a_fault_that_never_comes_to_some_of_its_pods_is_declared_on_the_others(shop: Shop) -> None:
    shop.controller.behaviour = Behaviour(reaches=1)
    with shop.watched():
        path = shop.make(
            "HTTPChaos", "hangs", shop.acts_on(*shop.cart, target="Request", port=80, abort=True)
        )
        (begun,) = eventually(
            lambda: shop.declared("httpchaos-abort"), timeout_s=PATIENCE_S, what="it to be declared"
        )
        assert begun.instances == (shop.cart[0],)
        shop.controller.behaviour = Behaviour()
        shop.api.delete(path)
        ((_, over),) = shop.until_ended("httpchaos-abort")
    assert [begun.start_at_us] == shop.stamped_us(begun, "Apply")[:1]
    assert over.end_at_us in shop.stamped_us(begun, "Recover")


def test_what_ended_while_nobody_looked_is_ended_by_who_starts_anew(shop: Shop) -> None:
    with shop.watched():
        gone = shop.make("StressChaos", "gone", shop.acts_on(*shop.cart, **STRESS))
        shop.make("DNSChaos", "stays", shop.acts_on(shop.front, action="error", patterns=["cart"]))
        kinds = ("stresschaos-cpu", "dnschaos-error")
        eventually(lambda: all(map(shop.declared, kinds)), timeout_s=PATIENCE_S, what="both to be declared")
    (over,), (lasting,) = (shop.declared(kind) for kind in kinds)
    shop.api.delete(gone)
    eventually(lambda: not shop.objects("StressChaos"), timeout_s=PATIENCE_S, what="one to go")
    anew: list[FaultRequest] = []
    left = {each.fault_id: each.parameters["object"] for each in (over, lasting)}
    declared_by_hand = {"deploy-7": "shop/redis-cart"}
    with shop.platform.watch_faults(anew.append, left=left | declared_by_hand):
        eventually(lambda: len(anew) == 2, timeout_s=PATIENCE_S, what="what is left to be told")
    (stop,) = [each for each in anew if each.action == "stop"]
    assert (stop.fault_id, stop.end_at_us) == (over.fault_id, max(shop.stamped_us(over, "Recover")))
    assert [each.fault_id for each in anew if each.action == "declare"] == [lasting.fault_id]
