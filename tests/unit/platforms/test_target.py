"""Which platform a state file names."""

from __future__ import annotations

from pathlib import Path

import pytest
from target_states import local_instance, target_state

from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.state import write_state
from microservo.platforms.target import KubernetesTarget, kubernetes_target, platform_of, running_platform
from microservo.supervision.supervisor import Supervisor
from microservo.system.launchers import ClusterLauncher, LocalLauncher, launcher_of
from microservo.system.options import ClusterOptions, SystemOptions

CLUSTER = KubernetesTarget(
    namespaces=("shop", "data-store"), fault_namespaces=("chaos-mesh",), context="test"
)
OPTIONS = ClusterOptions(
    namespaces=CLUSTER.namespaces, fault_namespaces=CLUSTER.fault_namespaces, context="test"
)


def test_a_file_that_names_a_cluster_is_told_from_that_of_processes(tmp_path: Path) -> None:
    cluster, local = tmp_path / "cluster.json", tmp_path / "local.json"
    cluster.write_text(CLUSTER.model_dump_json())
    write_state(local, target_state(local_instance("cart-0")))
    assert kubernetes_target(cluster) == CLUSTER
    assert kubernetes_target(local) is None
    assert isinstance(platform_of(local), LocalPlatform)


def test_without_a_file_a_local_target_is_waited_for(tmp_path: Path) -> None:
    assert isinstance(platform_of(tmp_path / "target.json"), LocalPlatform)
    assert running_platform(tmp_path / "target.json") is None


def test_a_file_that_names_a_cluster_badly_is_refused_with_an_example(tmp_path: Path) -> None:
    file = tmp_path / "target.json"
    file.write_text('{"platform": "kubernetes", "namespaces": []}')
    with pytest.raises(InvalidInput, match=r'write for example \{"platform":"kubernetes"'):
        platform_of(file)


def test_a_context_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "target.json"
    file.write_text(CLUSTER.model_dump_json())
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(Unavailable, match="there is no context 'test'"):
        platform_of(file)


def test_what_was_left_of_a_system_on_a_cluster_does_not_lead_a_local_one_there(tmp_path: Path) -> None:
    file = tmp_path / "target.json"
    file.write_text(CLUSTER.model_dump_json())
    launcher = launcher_of(SystemOptions(), file, tmp_path)
    assert isinstance(launcher, LocalLauncher)
    launcher.prepare()
    assert not file.exists()


def test_who_looks_before_the_start_finds_the_cluster_and_nobody_after_the_end(tmp_path: Path) -> None:
    file = tmp_path / "run" / "target.json"
    options = SystemOptions(cluster=OPTIONS)
    launcher = launcher_of(options, file, tmp_path)
    assert isinstance(launcher, ClusterLauncher)
    launcher.prepare()
    assert kubernetes_target(file) == CLUSTER
    launcher.close()
    assert not file.exists()


def test_a_file_that_was_there_already_stays(tmp_path: Path) -> None:
    file = tmp_path / "target.json"
    file.write_text(CLUSTER.model_dump_json())
    launcher = ClusterLauncher(OPTIONS, file)
    launcher.prepare()
    launcher.close()
    assert kubernetes_target(file) == CLUSTER


def test_a_cluster_that_is_away_is_no_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    launcher = ClusterLauncher(ClusterOptions(namespaces=("shop",)), tmp_path / "target.json")
    with Supervisor() as supervisor, pytest.raises(Unavailable, match="no cluster"):
        launcher.start(supervisor, "http://127.0.0.1:1")
