"""Following pods on a real API server, whatever happens to the connection, and to the server."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cluster_world import Workloads
from forwarder import Forwarder
from kubernetes_cluster import Cluster, new_namespace, running_cluster

from microservo.errors import Unavailable
from microservo.platforms.kubernetes.api import connect
from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.platforms.platform import InstanceChange
from microservo.testing import eventually

pytestmark = pytest.mark.integration

PATIENCE_S = 90.0
Changes = queue.SimpleQueue[InstanceChange]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One of its own, for it is killed; without a cache of pods, which would hide what was forgotten."""
    flags = ("--watch-cache-sizes=pods#0",)
    with TemporaryDirectory(prefix="kube-") as folder, running_cluster(Path(folder), flags=flags) as running:
        yield running


@pytest.fixture
def workloads(cluster: Cluster) -> Workloads:
    api = cluster.api()
    return Workloads(api, new_namespace(api))


def seen(changes: Changes, instance: str, state: str) -> InstanceChange:
    while True:
        change = changes.get(timeout=PATIENCE_S)
        if (change.instance.id, change.state) == (instance, state):
            return change


def test_new_pods_join_and_gone_ones_end_in_several_namespaces(
    cluster: Cluster, workloads: Workloads
) -> None:
    api = cluster.api()
    other = Workloads(api, new_namespace(api, "data-store"))
    (first,) = workloads.deploy("cart")
    changes: Changes = queue.SimpleQueue()
    platform = KubernetesPlatform(api, [workloads.namespace, other.namespace])
    with platform.watch(changes.put):
        seen(changes, first, "up")
        (second,) = other.deploy("redis-cart")
        assert seen(changes, second, "up").instance.service == "redis-cart"
        eventually(lambda: [each.id for each in platform.instances()] == sorted([first, second]))
        workloads.delete(first.split("/")[1])
        seen(changes, first, "down")
        eventually(lambda: [each.id for each in platform.instances()] == [second])


@pytest.mark.parametrize("what", ["killed", "compacted"])
def test_a_watch_goes_on_after_the_server(what: str, cluster: Cluster, workloads: Workloads) -> None:
    happen: dict[str, Callable[[], None]] = {"killed": lambda: None, "compacted": cluster.compact}
    (first,) = workloads.deploy("cart")
    changes: Changes = queue.SimpleQueue()
    with KubernetesPlatform(cluster.api(), [workloads.namespace]).watch(changes.put):
        seen(changes, first, "up")
        cluster.kill()
        cluster.start()
        # While nobody could see it, one went and another one came.
        workloads.delete(first.split("/")[1])
        (second,) = workloads.deploy("front")
        happen[what]()
        assert {seen(changes, first, "down").state, seen(changes, second, "up").state} == {"down", "up"}


def test_a_watch_goes_on_without_a_loss_after_its_connection_was_cut(
    cluster: Cluster, workloads: Workloads
) -> None:
    first, second = workloads.deploy("cart", replicas=2)
    changes: Changes = queue.SimpleQueue()
    with Forwarder(cluster.address).forwarding() as network:
        platform = KubernetesPlatform(cluster.api(through=network.address), [workloads.namespace])
        with platform.watch(changes.put):
            assert {seen(changes, each, "up").state for each in (first, second)} == {"up"}
            accepted = network.accepted
            with network.cut():
                assert network.open == 0
                # Nobody can see these; one of them comes and goes.
                workloads.delete(first.split("/")[1])
                brief, third = workloads.deploy("front", replicas=2)
                workloads.delete(brief.split("/")[1])
            told = following(changes, until=(brief, "down"))
            assert network.accepted > accepted
    assert told == [(first, "down"), (brief, "up"), (third, "up"), (brief, "down")]


def test_a_connection_that_ends_before_it_is_secured_is_tried_again(
    cluster: Cluster, workloads: Workloads
) -> None:
    with Forwarder(cluster.address).forwarding() as network:
        platform = KubernetesPlatform(cluster.api(through=network.address), [workloads.namespace])
        with network.cut(), pytest.raises(Unavailable, match="gives no answer"):
            platform.instances()
        (first,) = workloads.deploy("cart")
        assert [each.id for each in platform.instances()] == [first]


def test_who_does_not_trust_the_servers_certificate_is_told_so(cluster: Cluster, tmp_path: Path) -> None:
    kubeconfig = cluster.kubeconfig()
    del kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"]
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(path))
        with pytest.raises(Unavailable, match="certificate-authority"):
            connect("test").get("/version")


def following(changes: Changes, *, until: tuple[str, str]) -> list[tuple[str, str]]:
    """All changes until one, which is among them."""
    found: list[tuple[str, str]] = []
    while until not in found:
        change = changes.get(timeout=PATIENCE_S)
        found.append((change.instance.id, change.state))
    return found
