"""`microservo doctor --target kubernetes` on a real API server."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from cluster_world import Workloads
from kubernetes_cluster import Cluster, api_server_binary, new_namespace

from microservo.adapters.clock import now_us
from microservo.application.cluster import CheckCluster, check_cluster
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.cli.root import cli
from microservo.errors import Unavailable
from microservo.platforms.kubernetes.chaos.experiment import API_VERSION, PLURALS
from microservo.platforms.kubernetes.permissions import PERMISSIONS

pytestmark = pytest.mark.integration


def doctor(namespace: str, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        cli,
        ["doctor", "--target", "kubernetes", "--namespace", namespace, "--context", "test", *more],
        env={"COLUMNS": "400"},
    )
    return done.exit_code, done.output


@contextmanager
def kubeconfig_of(cluster: Cluster, folder: Path) -> Iterator[None]:
    (folder / "kubeconfig").write_text(json.dumps(cluster.kubeconfig()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
        yield


@pytest.fixture
def workloads(kubernetes_cluster: Cluster, tmp_path: Path) -> Iterator[Workloads]:
    api = kubernetes_cluster.api()
    with kubeconfig_of(kubernetes_cluster, tmp_path):
        yield Workloads(api, new_namespace(api))


def test_a_cluster_that_has_all_is_fine(workloads: Workloads) -> None:
    workloads.deploy("redis-cart", replicas=2)
    code, said = doctor(workloads.namespace)
    assert code == 0, said
    assert "redis-cart (2)" in said
    assert "v1.36.3" in said
    assert "within a second" in said
    assert "missing" not in said
    for permission in PERMISSIONS:
        assert re.search(rf"may {re.escape(str(permission))} in {workloads.namespace} +\W? *yes", said), said
    for kind in PLURALS:
        assert re.search(rf"\b{kind} +\W? *{re.escape(API_VERSION)}", said), said


def test_a_user_who_may_not_see_pods_is_told_that_nothing_works(
    kubernetes_cluster: Cluster, workloads: Workloads, tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(json.dumps(kubernetes_cluster.kubeconfig("nobody")))
    code, said = doctor(workloads.namespace)
    assert code != 0
    assert f"missing: may get, list, watch pods in {workloads.namespace}" in said
    for permission in PERMISSIONS:
        line = next(
            each for each in said.splitlines() if f"may {permission} in {workloads.namespace}" in each
        )
        assert f"refused: {', '.join(permission.verbs)}" in line
        assert permission.purpose in line


def test_each_kind_that_a_cluster_lacks_is_told_with_what_adds_it(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="kube-") as folder:
        bare = Cluster(Path(folder), api_server_binary())
        try:
            bare.start()
            with kubeconfig_of(bare, tmp_path):
                code, said = doctor("default")
        finally:
            bare.stop()
    assert code == 0, "a system without faults works without Chaos Mesh"
    rows = [each for each in said.splitlines() if "may " not in each]
    for kind in PLURALS:
        line = next(each for each in rows if kind in each)
        assert "none" in line
        assert "its faults need Chaos Mesh 2.5 or later" in line
    assert "metrics-server measures them" in said


def no_connection() -> Connection:
    msg = "a cluster is looked at without a broker"
    raise Unavailable(msg)


@pytest.mark.parametrize(("ahead_s", "where"), [(30, "behind"), (-30, "ahead of")])
def test_how_far_the_clusters_clock_is_from_this_machines_is_told(
    ahead_s: int, where: str, workloads: Workloads
) -> None:
    context = Context(no_connection, clock=lambda: now_us() + ahead_s * 1_000_000)
    findings = check_cluster(CheckCluster(namespaces=(workloads.namespace,), context="test"), context)
    (clock,) = [each for each in findings if each.what == "clock"]
    told = re.fullmatch(rf"the cluster is at least ([\d.]+) s {where} this machine", clock.found)
    assert told is not None, clock.found
    assert 28 <= float(told[1]) <= 30
    assert not clock.fine
    assert "NTP" in clock.advice


def test_what_may_be_seen_where_others_keep_their_objects_is_told(
    kubernetes_cluster: Cluster, workloads: Workloads, tmp_path: Path
) -> None:
    workloads.deploy("redis-cart")
    elsewhere = new_namespace(kubernetes_cluster.api(), "chaos-mesh")
    code, said = doctor(workloads.namespace, "--fault-namespace", elsewhere)
    assert code == 0, said
    assert f"may get, list, watch networkchaos.chaos-mesh.org in {elsewhere}" in said
    assert f"pods in {elsewhere}" not in said
    (tmp_path / "kubeconfig").write_text(json.dumps(kubernetes_cluster.kubeconfig("nobody")))
    _, said = doctor(workloads.namespace, "--fault-namespace", elsewhere)
    assert "faults of others by NetworkChaos" in said
