"""What every platform keeps to, on pods of a real API server; Chaos Mesh and the kubelet are the tests'."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chaos_controller import ChaosController
from cluster_world import Workloads
from kubernetes_cluster import Cluster, new_namespace

from microservo.platforms.kubernetes.platform import KubernetesPlatform
from microservo.testing.checks import Check
from microservo.testing.platforms import CHECKS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def namespace(kubernetes_cluster: Cluster) -> Iterator[str]:
    api = kubernetes_cluster.api()
    workloads = Workloads(api, new_namespace(api))
    workloads.deploy("front")
    workloads.deploy("back", replicas=2)
    with ChaosController(workloads).running():
        yield workloads.namespace


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_kubernetes_platform(check: Check, namespace: str, kubernetes_cluster: Cluster) -> None:
    api = kubernetes_cluster.api()
    check(lambda: KubernetesPlatform(api, [namespace]))
