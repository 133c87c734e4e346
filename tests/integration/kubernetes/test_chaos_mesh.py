"""Faults on pods of a real API server with Chaos Mesh's kinds of objects; its controller is the tests'."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from chaos_controller import Behaviour
from chaos_kinds import example
from chaos_shop import QUICK, ChaosShop, running_shop
from kubernetes_cluster import Cluster, pod_manifest

from microservo.adapters.clock import now_us
from microservo.domain.faults.catalogue import KINDS, parse_request
from microservo.errors import InvalidInput, MicroServoError, Retryable
from microservo.platforms.kubernetes.api import Conflict, Json, NotFound
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, collection, manifest, name_of
from microservo.platforms.kubernetes.chaos.manifests import BUILDERS, experiment_of
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.platforms.kubernetes.pods import SERVICE_ANNOTATION
from microservo.platforms.platform import InstanceChange, labels_of, services_of
from microservo.retry import retry
from microservo.testing import eventually
from schemas.records import FaultRequest

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0


@pytest.fixture
def shop(kubernetes_cluster: Cluster) -> Iterator[ChaosShop]:
    with running_shop(kubernetes_cluster) as shop:
        yield shop


DELAY = example("network-delay")


@pytest.mark.parametrize("kind", sorted(BUILDERS))
def test_the_api_server_takes_what_every_kind_asks_for_under_strict_validation(
    kind: str, shop: ChaosShop
) -> None:
    discovery = Discovery(shop.api, [shop.namespace], now_us)
    pod, peer = discovery.pod(shop.cart[0]), discovery.pod(shop.front)
    assert pod is not None
    assert peer is not None
    body = manifest(experiment_of(example(kind), pod), fault_id="dry", pod=pod, peers=[peer])
    shop.api.create(collection(shop.namespace, body["kind"]), body, dry_run=True)
    with pytest.raises(NotFound):
        shop.made(body["kind"], body["metadata"]["name"])


def test_the_api_server_refuses_a_field_that_is_none(shop: ChaosShop) -> None:
    body: dict[str, Any] = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "PodChaos",
        "metadata": {"name": "bad"},
        "spec": {"action": "pod-failure", "mode": "all", "selector": {}, "bogus": 1},
    }
    with pytest.raises(InvalidInput, match=r'unknown field "spec\.bogus"'):
        shop.api.create(collection(shop.namespace, "PodChaos"), body)


def test_a_service_is_what_owns_the_pod_however_many_hyphens_it_has(shop: ChaosShop) -> None:
    assert services_of(shop.platform) == {"redis-cart": shop.cart, "front": [shop.front]}


def test_pods_are_told_apart_by_their_labels(shop: ChaosShop) -> None:
    (canary,) = shop.workloads.deploy(
        "redis-cart-canary", labels={"track": "canary"}, annotations={SERVICE_ANNOTATION: "redis-cart"}
    )
    request = FaultRequest(
        fault_id="f1",
        action="inject",
        requested_at_us=0,
        kind="pod-kill",
        service="redis-cart",
        labels={"track": "canary"},
    )
    found = parse_request(request, services_of(shop.platform), labels=labels_of(shop.platform.instances()))
    assert found.instances == (canary,)


def test_the_instants_are_those_of_the_core_events_to_the_microsecond(shop: ChaosShop) -> None:
    asked_us = now_us()
    applied = shop.apply(DELAY)
    assert [applied.at_us] == shop.stamped_us("Apply")
    assert applied.within_us is not None
    assert asked_us <= applied.at_us - applied.within_us
    recovered = shop.recover(DELAY)
    assert [recovered.at_us] == shop.stamped_us("Recover")
    assert shop.recover(DELAY) == recovered


def test_without_core_events_they_are_those_of_the_records_and_so_much_less_exact(shop: ChaosShop) -> None:
    shop.controller.behaviour.writes_events = False
    applied = shop.apply(DELAY)
    (true_us,) = shop.stamped_us("Apply")
    assert applied.within_us is not None
    assert applied.within_us >= 0
    assert abs(applied.at_us - true_us) <= max(applied.within_us, 1_000_000)
    shop.recover(DELAY)


def test_a_finished_fault_leaves_no_object_behind(shop: ChaosShop) -> None:
    shop.apply(DELAY)
    shop.recover(DELAY)
    for kind in PLURALS:
        assert shop.api.get(collection(shop.namespace, kind))["items"] == []


def test_what_selects_nothing_fails_with_a_reason_and_leaves_nothing_behind(shop: ChaosShop) -> None:
    shop.controller.behaviour = Behaviour(selects=False)
    began_us = now_us()
    with pytest.raises(InvalidInput, match="no target has been selected"):
        shop.apply(DELAY)
    assert now_us() - began_us < 10_000_000
    shop.recover(DELAY)
    with pytest.raises(NotFound):
        shop.made("NetworkChaos", name_of("f1", shop.cart[0]))


def test_what_can_not_be_injected_fails_with_the_controllers_reason(shop: ChaosShop) -> None:
    shop.controller.behaviour = Behaviour(injects=False)
    with pytest.raises(InvalidInput, match="unable to flush ip sets for pod"):
        shop.apply(DELAY)
    # Chaos Mesh recovers what it is applying only when it has applied it.
    shop.controller.behaviour = Behaviour()
    shop.recover(DELAY)


def test_a_pod_that_does_not_run_yet_is_refused_before_anything_is_made(shop: ChaosShop) -> None:
    _, name = shop.cart[0].split("/")
    shop.api.merge(
        f"/api/v1/namespaces/{shop.namespace}/pods/{name}/status", {"status": {"phase": "Pending"}}
    )
    with pytest.raises(InvalidInput, match="is Pending"):
        shop.apply(DELAY)
    assert shop.api.get(collection(shop.namespace, "NetworkChaos"))["items"] == []


def test_a_pod_that_is_killed_recovers_when_another_one_is_ready_in_its_place(shop: ChaosShop) -> None:
    kill = example("pod-kill")
    applied = shop.apply(kill)
    assert [applied.at_us] == shop.stamped_us("Apply")
    recovered = shop.recover(kill)
    (new,) = set(services_of(shop.platform)["redis-cart"]) - set(shop.cart)
    assert recovered.evidence == f"{new} is ready"
    assert recovered.within_us is not None
    assert applied.at_us < recovered.at_us + recovered.within_us
    with pytest.raises(NotFound):
        shop.made("PodChaos", name_of("f1", shop.cart[0]))


def test_a_kill_is_over_when_a_pod_is_ready_that_was_not_there_before_even_for_who_starts_anew(
    shop: ChaosShop,
) -> None:
    kill = example("pod-kill")
    # Longer than one look takes.
    shop.controller.restart_s = 6.0
    shop.apply(kill)
    anew = KubernetesPlatform(shop.api, [shop.namespace], patience=QUICK).mechanisms(kill.kind)[0]
    with pytest.raises(Retryable, match="nothing is ready yet"):
        anew.recover(shop.cart[0], "f1", kill.wire())
    recovered = retry(lambda: anew.recover(shop.cart[0], "f1", kill.wire()), timeout_s=PATIENCE_S)
    (new,) = set(services_of(shop.platform)["redis-cart"]) - set(shop.cart)
    assert recovered.evidence == f"{new} is ready"


def test_a_container_that_is_killed_is_back_when_it_was_started_again(shop: ChaosShop) -> None:
    kill = example("process-kill")
    shop.controller.restart_s = 6.0
    shop.apply(kill)
    with pytest.raises(Retryable, match="nothing is ready yet"):
        shop.mechanism(kill.kind).recover(shop.cart[0], "f1", kill.wire())
    assert shop.recover(kill).evidence == f"{shop.cart[0]} is ready"


def test_a_pod_that_nothing_owns_has_no_replacement_and_its_container_has(shop: ChaosShop) -> None:
    shop.workloads.api.create(
        f"/api/v1/namespaces/{shop.namespace}/pods", pod_manifest(shop.namespace, "alone")
    )
    shop.workloads.run("alone")
    alone, process_kill, pod_kill = f"{shop.namespace}/alone", example("process-kill"), example("pod-kill")
    shop.apply(process_kill, "f1", alone)
    assert shop.recover(process_kill, "f1", alone).evidence == f"{alone} is ready"
    applied = shop.apply(pod_kill, "f2", alone)
    recovered = shop.recover(pod_kill, "f2", alone)
    assert (recovered.at_us, recovered.evidence) == (applied.at_us, "nothing makes another pod")


def test_a_killed_container_is_not_back_with_the_pod_that_came_for_another_kill_which_ends_too(
    shop: ChaosShop,
) -> None:
    of_container, of_pod = example("process-kill"), example("pod-kill")
    shop.controller.restart_s = 6.0
    shop.apply(of_container, "container", shop.cart[1])
    shop.controller.restart_s = 0.0
    shop.apply(of_pod, "pod", shop.cart[0])
    known = {*shop.cart, shop.front}
    came = eventually(
        lambda: {each.id for each in shop.platform.instances() if each.is_up} - known,
        timeout_s=PATIENCE_S,
        what="another pod",
    )
    assert came
    (new,) = came
    # The container is asked for first, as long as only the other pod is ready.
    assert shop.recover(of_container, "container", shop.cart[1]).evidence == f"{shop.cart[1]} is ready"
    assert shop.recover(of_pod, "pod", shop.cart[0]).evidence == f"{new} is ready"


def test_two_pods_that_are_killed_at_once_wait_for_a_replacement_each(shop: ChaosShop) -> None:
    kill = example("pod-kill")
    for instance in shop.cart:
        shop.apply(kill, "both", instance)
    ends = {shop.recover(kill, "both", instance).evidence for instance in shop.cart}
    assert len(ends) == 2


def test_a_stuck_recovery_says_what_hinders_it_and_can_be_given_up(shop: ChaosShop) -> None:
    shop.apply(DELAY)
    shop.controller.behaviour.recovers = False
    with pytest.raises(InvalidInput, match="first microservo fault stop f1"):
        shop.platform.force(shop.cart[0], "f1", DELAY.kind)
    with pytest.raises(Retryable, match=r"is stuck .*container daemon is not reachable.*fault force f1"):
        shop.mechanism(DELAY.kind).recover(shop.cart[0], "f1", DELAY.wire())
    shop.platform.force(shop.cart[0], "f1", DELAY.kind)
    assert shop.recover(DELAY).within_us is None
    assert not shop.mechanism(DELAY.kind).holds(shop.cart[0], "f1", DELAY.wire())


def test_what_is_asked_for_again_by_who_starts_anew_is_the_object_that_is_there(shop: ChaosShop) -> None:
    applied = shop.apply(DELAY)
    path, name = collection(shop.namespace, "NetworkChaos"), name_of("f1", shop.cart[0])
    made = shop.made("NetworkChaos", name)
    with pytest.raises(Conflict):
        shop.api.create(path, {key: made[key] for key in ("apiVersion", "kind", "spec")} | named(name))
    anew = KubernetesPlatform(shop.api, [shop.namespace], patience=QUICK).mechanisms(DELAY.kind)[0]
    assert anew.apply(shop.cart[0], "f1", DELAY.wire()).at_us == applied.at_us
    assert [each["metadata"]["uid"] for each in shop.api.get(path)["items"]] == [made["metadata"]["uid"]]
    shop.recover(DELAY)


def test_a_name_that_is_used_again_is_a_fault_of_its_own(shop: ChaosShop) -> None:
    first = shop.apply(DELAY)
    ended = shop.recover(DELAY)
    second = shop.apply(DELAY)
    assert [first.at_us, second.at_us] == shop.stamped_us("Apply")
    assert first.at_us < ended.at_us < second.at_us
    shop.recover(DELAY)


def test_a_pod_of_the_same_name_has_no_fault_before_it_is_applied_anew(shop: ChaosShop) -> None:
    first = shop.apply(DELAY)
    mechanism = shop.mechanism(DELAY.kind)
    assert mechanism.holds(shop.cart[0], "f1", DELAY.wire())
    shop.workloads.replace_by_name(shop.cart[0].split("/")[1])
    stale = shop.made("NetworkChaos", name_of("f1", shop.cart[0]))
    assert stale["status"]["experiment"]["containerRecords"][0]["phase"] == "Injected", "as Chaos Mesh has it"
    assert not mechanism.holds(shop.cart[0], "f1", DELAY.wire())
    again = shop.apply(DELAY)
    assert [first.at_us, again.at_us] == shop.stamped_us("Apply")
    assert mechanism.holds(shop.cart[0], "f1", DELAY.wire())
    shop.recover(DELAY)


def test_a_pod_that_was_killed_is_not_killed_again_under_its_name_by_who_starts_anew(shop: ChaosShop) -> None:
    kill = example("pod-kill")
    applied = shop.apply(kill)
    name = shop.cart[0].split("/")[1]
    shop.workloads.replace_by_name(name)
    anew = KubernetesPlatform(shop.api, [shop.namespace], patience=QUICK).mechanisms(kill.kind)[0]
    assert anew.apply(shop.cart[0], "f1", kill.wire()).at_us == applied.at_us
    assert shop.stamped_us("Apply") == [applied.at_us]
    shop.recover(kill)


def named(name: str) -> Json:
    return {"metadata": {"name": name}}


def test_a_partition_without_such_a_service_is_refused_with_those_that_are(shop: ChaosShop) -> None:
    with pytest.raises(InvalidInput, match="choose a peer of front, redis-cart"):
        shop.apply(KINDS["network-partition"].from_text({"peer": "nobody"}))
    shop.apply(KINDS["network-partition"].from_text({"peer": "front"}))
    found = shop.made("NetworkChaos", name_of("f1", shop.cart[0]))
    assert found["spec"]["target"]["selector"]["pods"] == {shop.namespace: [shop.front.split("/")[1]]}
    shop.recover(example("network-partition"))


def of_others(shop: ChaosShop, name: str = "theirs") -> str:
    pods = {shop.namespace: [each.split("/")[1] for each in shop.cart]}
    path = collection(shop.namespace, "StressChaos")
    shop.api.create(
        path,
        {
            "apiVersion": "chaos-mesh.org/v1alpha1",
            "kind": "StressChaos",
            "metadata": {"name": name},
            "spec": {
                "mode": "all",
                "selector": {"pods": pods},
                "stressors": {"cpu": {"workers": 1, "load": 50}},
            },
        },
    )
    return f"{path}/{name}"


def test_what_others_do_is_declared_with_its_instants_and_ended_when_it_ends(shop: ChaosShop) -> None:
    seen: queue.SimpleQueue[FaultRequest] = queue.SimpleQueue()
    with shop.platform.watch_faults(seen.put):
        path = of_others(shop)
        declared = seen.get(timeout=PATIENCE_S)
        assert (declared.action, declared.kind, declared.service) == (
            "declare",
            "stresschaos-cpu",
            "redis-cart",
        )
        first_us = min(shop.stamped_us("Apply", pod)[0] for pod in shop.cart)
        assert declared.start_at_us == first_us
        shop.api.delete(path)
        stopped = seen.get(timeout=PATIENCE_S)
        assert (stopped.fault_id, stopped.action) == (declared.fault_id, "stop")
        assert stopped.end_at_us == max(shop.stamped_us("Recover", pod)[0] for pod in shop.cart)
    assert seen.empty()


def test_a_fault_of_others_is_over_when_its_pods_were_replaced_though_its_object_stays(
    shop: ChaosShop,
) -> None:
    seen: queue.SimpleQueue[FaultRequest] = queue.SimpleQueue()
    up: queue.SimpleQueue[InstanceChange] = queue.SimpleQueue()
    with shop.platform.watch(up.put), shop.platform.watch_faults(seen.put):
        of_others(shop)
        declared = seen.get(timeout=PATIENCE_S)
        eventually(lambda: shop.stamped_us("Apply", shop.cart[1]), what="it to be in force on both")
        for each in shop.cart:
            shop.workloads.delete(each.split("/")[1])
        stopped = seen.get(timeout=PATIENCE_S)
    assert (stopped.fault_id, stopped.action) == (declared.fault_id, "stop")


def test_what_others_have_in_force_already_is_declared_and_ours_is_not(shop: ChaosShop) -> None:
    shop.apply(DELAY)
    of_others(shop)
    eventually(lambda: shop.stamped_us("Apply", shop.cart[1]), what="their fault to be in force")
    seen: queue.SimpleQueue[FaultRequest] = queue.SimpleQueue()
    with shop.platform.watch_faults(seen.put):
        declared = seen.get(timeout=PATIENCE_S)
        shop.recover(DELAY)
    assert declared.kind == "stresschaos-cpu"
    assert seen.empty()


def test_a_pause_by_others_ends_a_fault_and_going_on_begins_another(shop: ChaosShop) -> None:
    pause = "experiment.chaos-mesh.org/pause"
    seen: queue.SimpleQueue[FaultRequest] = queue.SimpleQueue()
    with ExitStack() as stack:
        stack.enter_context(shop.platform.watch_faults(seen.put))
        path = of_others(shop)
        first = seen.get(timeout=PATIENCE_S)
        shop.api.merge(path, {"metadata": {"annotations": {pause: "true"}}})
        assert seen.get(timeout=PATIENCE_S).fault_id == first.fault_id
        shop.api.merge(path, {"metadata": {"annotations": {pause: "false"}}})
        second = seen.get(timeout=PATIENCE_S)
    assert (second.action, second.fault_id) == ("declare", first.fault_id.removesuffix("1") + "2")


def test_who_may_nothing_is_told_what_it_may_not(kubernetes_cluster: Cluster, shop: ChaosShop) -> None:
    platform = KubernetesPlatform(kubernetes_cluster.api("nobody"), [shop.namespace])
    with pytest.raises(MicroServoError, match=r"cannot list resource .pods."):
        platform.instances()
