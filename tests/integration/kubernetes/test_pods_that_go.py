"""Pods that go while they have a fault: what Chaos Mesh then never ends is over with them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from chaos_controller import Behaviour
from chaos_kinds import example
from chaos_shop import ChaosShop, running_shop
from cluster_world import stamp
from kubernetes_cluster import Cluster

from microservo.adapters.clock import now_us
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.kubernetes.api import NotFound
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, collection
from microservo.platforms.kubernetes.chaos.mechanism import Patience
from microservo.platforms.platform import InstanceChange
from microservo.testing import eventually
from schemas.records import FaultRequest

pytestmark = pytest.mark.integration

S = 1_000_000
PATIENCE_S = 60.0
DELAY = example("network-delay")


@pytest.fixture
def shop(kubernetes_cluster: Cluster) -> Iterator[ChaosShop]:
    with running_shop(kubernetes_cluster, Patience(selected=6.0, injected=8.0, recovered=2.0)) as shop:
        yield shop


def objects_of(shop: ChaosShop) -> list[str]:
    return [
        each["metadata"]["name"]
        for kind in PLURALS
        for each in shop.api.get(collection(shop.namespace, kind))["items"]
    ]


def ends(seen: list[FaultRequest]) -> list[FaultRequest]:
    return [each for each in seen if each.action == "stop"]


@pytest.mark.parametrize("kind", ["connection-abort", "network-delay"])
def test_what_is_injected_into_a_pod_that_goes_meanwhile_is_ended_though_chaos_mesh_never_does(
    kind: str, shop: ChaosShop
) -> None:
    # chaos-mesh#4530: "PodHttpChaos ... not found" for ever, for a record is applied before it is recovered.
    fault = example(kind)
    shop.controller.behaviour = Behaviour(injects=False)
    with pytest.raises(InvalidInput, match="unable to flush ip sets for pod"):
        shop.apply(fault)
    with pytest.raises(Retryable, match=f"still to be recovered: {shop.cart[0]};.*Delete the pod"):
        shop.mechanism(kind).recover(shop.cart[0], "f1", fault.wire())
    shop.workloads.delete(shop.cart[0].split("/")[1])
    recovered = shop.recover(fault)
    assert recovered.evidence.endswith("was not in force")
    assert objects_of(shop) == []


def test_what_is_in_force_on_a_pod_that_goes_is_over_with_it_though_chaos_mesh_never_ends_it(
    shop: ChaosShop,
) -> None:
    changes: list[InstanceChange] = []
    with shop.platform.watch(changes.append):
        applied = shop.apply(DELAY)
        shop.controller.behaviour = Behaviour(recovers=False)
        shop.workloads.delete(shop.cart[0].split("/")[1])
        gone = eventually(
            lambda: [each for each in changes if each.instance.id == shop.cart[0] and each.state == "down"],
            timeout_s=PATIENCE_S,
            what="the pod to be gone",
        )
        recovered = shop.recover(DELAY)
    assert recovered.evidence.endswith("was given up: its pod had ended")
    assert recovered.within_us is not None
    assert abs(recovered.at_us - gone[0].at_us) <= S
    assert recovered.at_us + recovered.within_us >= applied.at_us
    assert objects_of(shop) == []


def test_a_pod_that_took_the_name_of_the_one_with_the_fault_holds_up_no_end(shop: ChaosShop) -> None:
    shop.apply(DELAY)
    shop.controller.behaviour = Behaviour(recovers=False)
    shop.workloads.replace_by_name(shop.cart[0].split("/")[1])
    assert "was given up" in shop.recover(DELAY).evidence
    assert objects_of(shop) == []


def test_what_chaos_mesh_can_not_give_up_goes_all_the_same_when_that_is_forced(shop: ChaosShop) -> None:
    # chaos-mesh#1506, #4431: the annotation that forces it is ignored, or nobody is there to read it.
    shop.apply(DELAY)
    shop.controller.behaviour = Behaviour(recovers=False, gives_up=False)
    with pytest.raises(Retryable, match="is stuck"):
        shop.mechanism(DELAY.kind).recover(shop.cart[0], "f1", DELAY.wire())
    shop.platform.force(shop.cart[0], "f1", DELAY.kind)
    assert objects_of(shop) == []
    shop.recover(DELAY)
    with pytest.raises(InvalidInput, match="its recovery is over"):
        shop.platform.force(shop.cart[0], "f1", DELAY.kind)


def test_what_others_never_got_into_a_pod_that_went_is_no_fault_of_it(shop: ChaosShop) -> None:
    seen: list[FaultRequest] = []
    shop.controller.behaviours = {shop.cart[0].split("/")[1]: Behaviour(injects=False)}
    with shop.platform.watch(lambda change: None), shop.platform.watch_faults(seen.append):
        path = shop.make("HTTPChaos", "hangs", [shop.cart[0]], target="Request", port=80, abort=True)
        eventually(
            lambda: "unable to flush" in str(shop.api.get(path)),
            timeout_s=PATIENCE_S,
            what="it to fail",
        )
        shop.workloads.delete(shop.cart[0].split("/")[1])
        shop.api.delete(path)
        # What comes of another one tells that this one was seen, too.
        shop.make("StressChaos", "next", [shop.front], stressors={"cpu": {"workers": 1, "load": 50}})
        eventually(lambda: seen, timeout_s=PATIENCE_S, what="the next one to be declared")
    assert [each.service for each in seen] == ["front"]


def test_what_a_hundred_failures_left_nothing_of_is_over_when_its_object_goes(shop: ChaosShop) -> None:
    seen: list[FaultRequest] = []
    shop.controller.behaviour = Behaviour(recovers=False, writes_events=False)
    with shop.platform.watch(lambda change: None), shop.platform.watch_faults(seen.append):
        path = shop.make("StressChaos", "full", [shop.front], stressors={"cpu": {"workers": 1, "load": 50}})
        eventually(lambda: seen, timeout_s=PATIENCE_S, what="it to be declared")
        shop.api.delete(path)
        failed = {"type": "Failed", "operation": "Recover", "timestamp": stamp(now_us() / S), "message": "no"}
        experiment = shop.api.get(path)["status"]["experiment"]
        records = [{**each, "events": [failed] * 100} for each in experiment["containerRecords"]]
        shop.api.merge(path, {"status": {"experiment": {**experiment, "containerRecords": records}}})
        assert ends(seen) == []
        shop.api.merge(path, {"metadata": {"finalizers": None}})
        (over,) = eventually(lambda: ends(seen), timeout_s=PATIENCE_S, what="its end to be declared")
        with pytest.raises(NotFound):
            shop.api.get(path)
    assert over.fault_id == seen[0].fault_id
    assert over.end_at_us is not None
    assert seen[0].start_at_us is not None
    assert over.end_at_us >= seen[0].start_at_us


def test_a_pod_that_came_instead_of_killed_ones_stands_for_one_kill_be_it_ours_or_anothers(
    shop: ChaosShop,
) -> None:
    kill, seen = example("pod-kill"), list[FaultRequest]()
    shop.controller.replaces = False
    with (
        ThreadPoolExecutor(1) as asking,
        shop.platform.watch(lambda change: None),
        shop.platform.watch_faults(seen.append),
    ):
        shop.apply(kill)
        shop.make("PodChaos", "theirs", [shop.cart[1]], action="pod-kill")
        eventually(
            lambda: seen and len(shop.controller.owed) == 2, timeout_s=PATIENCE_S, what="both to be killed"
        )
        ours = asking.submit(shop.recover, kill)
        first, second = shop.controller.owed
        shop.workloads.pod(first)
        eventually(lambda: ours.done() or ends(seen), timeout_s=PATIENCE_S, what="one to be over")
        # Instants of the cluster are whole seconds.
        later_us = now_us() + 2 * S
        eventually(lambda: now_us() > later_us, timeout_s=PATIENCE_S, what="another second")
        shop.workloads.pod(second)
        (theirs,) = eventually(lambda: ends(seen), timeout_s=PATIENCE_S, what="theirs to be over")
        over_us = ours.result(PATIENCE_S).at_us
    assert theirs.end_at_us is not None
    assert abs(theirs.end_at_us - over_us) >= S, "each with a pod of its own"
