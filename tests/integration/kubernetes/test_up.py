"""The whole system on a target in a cluster: found, broken, labelled with the instants of Chaos Mesh."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chaos_controller import ChaosController
from cluster_world import Workloads
from kubernetes_cluster import Cluster, new_namespace
from recorded_progress import RecordedProgress

from microservo.client import Client
from microservo.errors import InvalidInput
from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, collection
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.options import ClusterOptions
from microservo.testing import eventually
from schemas.records import FaultEvent, LabelledWindow

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
DELAY = "network-delay"


@dataclass
class Running:
    """A system, its target, and what plays the cluster."""

    system: EmbeddedSystem
    workloads: Workloads
    controller: ChaosController
    cart: list[str]

    @property
    def client(self) -> Client:
        return self.system.client

    def events(self, fault_id: str) -> list[FaultEvent]:
        """The newest event of each instance."""
        return [each for each in self.client.faults.list() if each.fault_id == fault_id and each.instance]

    def labels(self, fault_id: str) -> set[tuple[str, str]]:
        """Services whose windows have a fault, with its part in them."""
        records = self.client.topics.subscribe("labelled-windows", start="earliest", until_end=True)
        windows = [each.record for each in records if isinstance(each.record, LabelledWindow)]
        return {
            (window.service, label.relation)
            for window in windows
            for label in window.labels
            if label.fault_id == fault_id
        }


@pytest.fixture(scope="module")
def running(
    kubernetes_cluster: Cluster, kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder, api = tmp_path_factory.mktemp("up"), kubernetes_cluster.api()
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(kubernetes_cluster.kubeconfig()))
    workloads = Workloads(api, new_namespace(api))
    cart = workloads.deploy("redis-cart", replicas=2)
    workloads.deploy("front")
    options = SystemOptions(
        name="in-a-cluster",
        partitions=2,
        bootstrap_servers=kafka_bootstrap_servers,
        topic_prefix=f"{workloads.namespace}-",
        cluster=ClusterOptions(namespaces=(workloads.namespace,), context="test"),
        algorithms=(),
    )
    controller = ChaosController(workloads)
    with pytest.MonkeyPatch.context() as patch, controller.running():
        patch.setenv("KUBECONFIG", str(kubeconfig))
        patch.setenv("MICROSERVO_HOME", str(folder / "home"))
        with EmbeddedSystem(options, RecordedProgress()) as system:
            system.start()
            yield Running(system, workloads, controller, cart)


def test_a_fault_on_one_pod_has_chaos_meshs_instants_and_labels_the_windows_of_its_service(
    running: Running,
) -> None:
    faults = running.client.faults
    faults.request(DELAY, service="redis-cart", mode="one", latency="300ms", duration="3s", fault_id="ours")
    faults.wait("ours", "recovered", PATIENCE_S)
    (event,) = running.events("ours")
    assert event.instance in running.cart
    stamped_us = running.controller.stamped_us
    assert [event.applied_at_us] == stamped_us[event.instance, "Apply"]
    assert [event.recovered_at_us] == stamped_us[event.instance, "Recover"]
    eventually(lambda: running.labels("ours"), timeout_s=PATIENCE_S, what="a window with its label")
    assert running.labels("ours") == {("redis-cart", "root")}


def test_nothing_is_left_in_the_cluster_when_a_fault_is_over(running: Running) -> None:
    for kind in PLURALS:
        assert running.workloads.api.get(collection(running.workloads.namespace, kind))["items"] == []


def test_a_pod_that_is_killed_recovers_when_the_one_in_its_place_is_ready(running: Running) -> None:
    faults = running.client.faults
    faults.request("pod-kill", service="front", fault_id="killed")
    faults.wait("killed", "recovered", PATIENCE_S)
    (event,) = running.events("killed")
    assert [event.applied_at_us] == running.controller.stamped_us[event.instance, "Apply"]
    assert event.recovered_at_us is not None
    assert event.applied_at_us is not None
    assert event.recovered_at_us >= event.applied_at_us


def test_what_others_do_is_labelled_with_chaos_meshs_instants(running: Running) -> None:
    api, namespace = running.workloads.api, running.workloads.namespace
    pods = {namespace: [each.split("/")[1] for each in running.cart]}
    theirs: Json = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "StressChaos",
        "metadata": {"name": "theirs"},
        "spec": {
            "mode": "all",
            "selector": {"pods": pods},
            "stressors": {"cpu": {"workers": 1, "load": 50}},
        },
    }
    path = collection(namespace, "StressChaos")
    api.create(path, theirs)

    def declared(state: str) -> list[FaultEvent]:
        found = [each for each in running.client.faults.list() if each.kind == "stresschaos-cpu"]
        return [each for each in found if each.state == state]

    eventually(lambda: declared("active"), timeout_s=PATIENCE_S, what="their fault to be declared")
    api.delete(f"{path}/theirs")
    over = eventually(lambda: declared("recovered"), timeout_s=PATIENCE_S, what="its end to be declared")
    applied = [running.controller.stamped_us[each, "Apply"][-1] for each in running.cart]
    recovered = [running.controller.stamped_us[each, "Recover"][-1] for each in running.cart]
    assert {each.applied_at_us for each in over} == {min(applied)}
    assert {each.recovered_at_us for each in over} == {max(recovered)}
    fault_id = over[0].fault_id
    eventually(lambda: running.labels(fault_id), timeout_s=PATIENCE_S, what="a window with its label")
    assert running.labels(fault_id) == {("redis-cart", "root")}


def test_what_the_cluster_can_not_carry_is_refused_and_says_what_it_can(running: Running) -> None:
    fault_id = running.client.faults.request("app-exception", service="redis-cart", duration="1s")
    with pytest.raises(InvalidInput, match=r"which the target lacks; it can carry .*pod-kill"):
        running.client.faults.wait(fault_id, "active", PATIENCE_S)


def test_a_fault_that_is_stopped_is_taken_from_the_cluster_before_its_time(running: Running) -> None:
    faults = running.client.faults
    faults.request(DELAY, service="front", latency="300ms", duration="30min", fault_id="stopped")
    faults.wait("stopped", "active", PATIENCE_S)
    faults.stop("stopped")
    faults.wait("stopped", "stopped", PATIENCE_S)
    (event,) = running.events("stopped")
    assert event.recovered_at_us == running.controller.stamped_us[event.instance, "Recover"][-1]
    assert running.workloads.api.get(collection(running.workloads.namespace, "NetworkChaos"))["items"] == []


def test_each_fault_of_a_schedule_is_an_object_of_its_own_on_as_many_pods_as_its_mode_says(
    running: Running,
) -> None:
    client = running.client
    client.schedules.add(
        DELAY,
        service="redis-cart",
        mode="one",
        parameters={"latency": "1ms"},
        duration="1s",
        schedule_id="one",
    )
    done = eventually(lambda: client.schedules.show("one").recent, timeout_s=PATIENCE_S, what="its fault")
    client.faults.wait(done[0].fault_id, "recovered", PATIENCE_S)
    assert len(running.events(done[0].fault_id)) == 1


def test_a_kill_that_nothing_replaces_yet_holds_up_no_later_fault_of_a_schedule(running: Running) -> None:
    # chaos-mesh#2387, #4470: a Schedule of Chaos Mesh waits for ever for a kill that is never over.
    client, controller = running.client, running.controller
    controller.replaces = False
    for schedule_id in ("first", "second"):
        client.schedules.add("pod-kill", service="redis-cart", mode="one", schedule_id=schedule_id)
        done = eventually(
            lambda schedule_id=schedule_id: client.schedules.show(schedule_id).recent,  # type: ignore[misc]
            timeout_s=PATIENCE_S,
            what=f"the fault of {schedule_id}",
        )
        client.faults.wait(done[0].fault_id, "active", PATIENCE_S)
    assert len(controller.owed) == 2, "both killed a pod, though the first was not over"
    controller.replaces = True
    while controller.owed:
        running.workloads.pod(controller.owed.pop())
    for schedule_id in ("first", "second"):
        (fault,) = client.schedules.show(schedule_id).recent
        client.faults.wait(fault.fault_id, "recovered", PATIENCE_S)


CAMPAIGN = """
name = "pods"
[target]
platform = "kubernetes"
services = ["redis-cart"]
mode = "one"
[faults]
count = 2
duration = ["1s", "1s"]
gap = ["1s", "1s"]
[[mix]]
kind = "network-delay"
[[mix]]
kind = "pod-kill"
[steady]
instances_up = true
within = "1min"
"""


def test_a_campaign_breaks_pods_of_the_cluster_and_its_faults_have_chaos_meshs_instants(
    running: Running, tmp_path: Path
) -> None:
    path = tmp_path / "pods.toml"
    path.write_text(CAMPAIGN)
    client = running.client
    report = client.campaigns.run(client.campaigns.plan(str(path)), campaign_id="pods-1")
    assert report.status.standing == "done"
    assert {event.kind for event in report.faults} == {"network-delay", "pod-kill"}
    assert len(report.faults) == 2, "of two pods, one is hit"
    for event in report.faults:
        assert event.applied_at_us in running.controller.stamped_us[event.instance, "Apply"]


def test_a_campaign_for_a_topology_or_with_a_load_is_refused_on_a_cluster(
    running: Running, tmp_path: Path
) -> None:
    client = running.client
    with pytest.raises(InvalidInput, match="is for online-boutique, and what runs is kubernetes"):
        client.campaigns.run(client.campaigns.plan("smoke"))
    path = tmp_path / "loaded.toml"
    path.write_text(f"{CAMPAIGN}\n[[load]]\njourneys_per_s = 4.0\n")
    with pytest.raises(InvalidInput, match="load: the users of a target in a cluster are its own"):
        client.campaigns.plan(str(path))
