"""`microservo doctor --target kubernetes` on a real API server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from cluster_world import Workloads
from kubernetes_cluster import Cluster, new_namespace

from microservo.cli.root import cli

pytestmark = pytest.mark.integration


def doctor(namespace: str, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        cli,
        ["doctor", "--target", "kubernetes", "--namespace", namespace, "--context", "test", *more],
        env={"COLUMNS": "400"},
    )
    return done.exit_code, done.output


@pytest.fixture
def workloads(kubernetes_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workloads:
    (tmp_path / "kubeconfig").write_text(json.dumps(kubernetes_cluster.kubeconfig()))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    api = kubernetes_cluster.api()
    return Workloads(api, new_namespace(api))


def test_a_cluster_that_has_all_is_fine(workloads: Workloads) -> None:
    workloads.deploy("redis-cart", replicas=2)
    code, said = doctor(workloads.namespace)
    assert code == 0, said
    assert "redis-cart (2)" in said
    assert "v1.36.3" in said
    assert "within a second" in said
    assert "missing" not in said


def test_a_user_who_may_not_see_pods_is_told_that_nothing_works(
    kubernetes_cluster: Cluster, workloads: Workloads, tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(json.dumps(kubernetes_cluster.kubeconfig("nobody")))
    code, said = doctor(workloads.namespace)
    assert code != 0
    assert "refused: get, list, watch" in said
    assert f"may get, list, watch pods in {workloads.namespace}" in said


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
