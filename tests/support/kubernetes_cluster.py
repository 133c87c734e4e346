"""A real API server (etcd and kube-apiserver in one process) on loopback, for as long as a test needs it.

The program is built of Go modules, by name, the first time: some minutes, so CI runs this file beforehand.
It has no scheduler, no kubelet and no controllers: pods are records; what makes them run is up to the test.
"""

from __future__ import annotations

import base64
import csv
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
import requests
import yaml
from filelock import FileLock
from go_programs import BUILD_S, go
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from needed import cache, missing

from microservo.platforms.kubernetes.api import Conflict, Json, KubernetesApi
from microservo.testing import eventually

BINARY = "MICROSERVO_TEST_KUBE_APISERVER"
"""Names a program that was built elsewhere."""
HELM = "MICROSERVO_TEST_HELM"
"""Names a Helm that was built elsewhere; one on the path is taken too."""
CRDS = "CHAOS_MESH_CRDS"
"""Names the folder of Chaos Mesh's CustomResourceDefinitions."""

API_SERVER_VERSION = "v1.36.3"

_SOURCE = Path(__file__).with_name("api_server")
_HELM_VERSION = "v3.22.0"
_START_S = 900.0
_CHILDREN: list[psutil.Popen] = []
"""Servers that this process started: others may use one on when whoever asked for it is done with it."""


# On the paths of metrics-server, which is no part of the API server itself.
_METRICS: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": "pods.metrics.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
    },
    "spec": {
        "group": "metrics.k8s.io",
        "names": {"kind": "PodMetrics", "listKind": "PodMetricsList", "plural": "pods", "singular": "pod"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


def api_server_binary() -> Path:
    """The program, built if it is not there."""
    if named := os.environ.get(BINARY):
        return Path(named)
    sources = b"".join((_SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    folder = cache() / "kube-apiserver"
    binary = folder / hashlib.sha256(sources).hexdigest()[:16] / "kube-apiserver"
    with _locked(folder):
        if not binary.exists():
            _build(binary)
    return binary


def helm_binary() -> Path:
    """Helm, built of its Go module if it is not there."""
    if found := os.environ.get(HELM) or shutil.which("helm"):
        return Path(found)
    folder = cache() / f"helm-{_HELM_VERSION}"
    with _locked(folder):
        if not (folder / "helm").exists():
            module = f"helm.sh/helm/v3/cmd/helm@{_HELM_VERSION}"
            argv = ["install", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", "-s -w", module]
            go(argv, _SOURCE.parent, {"GOBIN": str(folder)}, f"Helm; or set {HELM}")
    return folder / "helm"


def chaos_mesh_crds() -> Path:
    """The folder of the CRDs."""
    named = os.environ.get(CRDS, "")
    if not named or not Path(named).is_dir():
        missing(f"{CRDS} names no folder with Chaos Mesh's CRDs (config/crd/bases of its repository)")
    return Path(named)


class Cluster:
    """A server; `admin` may do everything.

    Args:
        folder: gets its state and its log; a fresh one for each server, or that of one that runs.
        binary: the program.
        flags: more flags of kube-apiserver.
    """

    def __init__(self, folder: Path, binary: Path, flags: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self._binary = binary
        self._flags = flags
        self._process: psutil.Process | None = None
        tokens = folder / "tokens.csv"
        if tokens.exists():
            self._tokens = {user: token for token, user, *_ in csv.reader(tokens.read_text().splitlines())}
            self._process = psutil.Process(int((folder / "pid").read_text()))
        else:
            self._tokens = {name: secrets.token_hex(16) for name in ("admin", "nobody")}

    def start(self) -> None:
        """Starts it, again on the same port with the same data after `kill`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        groups = {"admin": ",system:masters", "nobody": ""}
        lines = (f"{token},{name},uid-{name}{groups[name]}\n" for name, token in self._tokens.items())
        (self.folder / "tokens.csv").write_text("".join(lines))
        address = self.address
        (self.folder / "addr").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = psutil.Popen(
                [self._binary, self.folder, address, *self._flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        _CHILDREN.append(self._process)
        (self.folder / "pid").write_text(str(self._process.pid))
        eventually(self._is_ready, timeout_s=_START_S, interval_s=0.05, what="the API server to be ready")

    def kill(self) -> None:
        """Ends it at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def compact(self) -> None:
        """Has it forget all earlier versions, so that who wants to go on from one is answered 410."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

    def api(self, user: str = "admin", *, through: str = "") -> KubernetesApi:
        """The API for one of the users, or with a token; by way of another address on loopback if given."""
        settings = Configuration()
        settings.connection_pool_maxsize = 64
        settings.retries = False
        config.load_kube_config_from_dict(self.kubeconfig(user, through), client_configuration=settings)
        return KubernetesApi(ApiClient(settings))

    def kubeconfig(self, user: str = "admin", through: str = "") -> dict[str, Any]:
        """What kubectl would read."""
        authority = base64.b64encode(self._certificate.read_bytes()).decode()
        server = {"server": f"https://{through or self.address}", "certificate-authority-data": authority}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": server}],
            "users": [{"name": "test", "user": {"token": self._tokens.get(user, user)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }

    def install(self, folder: Path) -> None:
        """Creates the CustomResourceDefinitions of a folder and that of measured pods, and waits for them."""
        api = self.api()
        definitions = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
        for each in (*definitions, _METRICS):
            try:
                api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", each)
            except Conflict:
                continue
        for each in (*definitions, _METRICS):
            group, version = each["spec"]["group"], each["spec"]["versions"][0]["name"]
            path = f"/apis/{group}/{version}/{each['spec']['names']['plural']}"
            eventually(lambda path=path: _serves(api, path), timeout_s=30, what=f"{path} to be served")  # type: ignore[misc]

    @property
    def address(self) -> str:
        """Where it listens; any port before it did."""
        found = self.folder / "addr"
        return (found.read_text() if found.exists() else "") or "127.0.0.1:0"

    @property
    def _certificate(self) -> Path:
        return self.folder / "certs" / "apiserver.crt"

    def _is_ready(self) -> bool:
        assert self._process is not None
        if not self._is_running():
            pytest.fail(f"the API server ended: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            answer = requests.get(
                f"https://{self.address}/readyz",
                headers={"Authorization": f"Bearer {self._tokens['admin']}"},
                verify=str(self._certificate),
                timeout=2,
            )
        except OSError:
            return False
        return answer.ok

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None and self._is_running():
            self._process.terminate()
            try:
                eventually(lambda: not self._is_running(), timeout_s=20, interval_s=0.05)
            except AssertionError:
                self._process.kill()

    def _is_running(self) -> bool:
        assert self._process is not None
        # What has ended is a zombie until who started it has waited, which may be another worker.
        with suppress(psutil.NoSuchProcess):
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        return False


@contextmanager
def running_cluster(folder: Path, *, flags: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """A server with the CRDs of Chaos Mesh."""
    crds, binary = chaos_mesh_crds(), api_server_binary()
    cluster = Cluster(folder, binary, flags)
    try:
        cluster.start()
        cluster.install(crds)
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def shared_cluster(common: Path) -> Iterator[Cluster]:
    """The server that all who name the same folder use together: the first starts it, the last ends it.

    Each holds a lock that the kernel lets go of however it ends: nobody waits for a worker that crashed.
    """
    place = common / "kube-apiserver"
    with (common / "kube-apiserver.users").open("a") as users:
        with FileLock(common / "kube-apiserver.lock", timeout=BUILD_S):
            fcntl.flock(users, fcntl.LOCK_SH)
            if place.exists():
                cluster = Cluster(Path(place.read_text()), api_server_binary())
            else:
                cluster = _started()
                place.write_text(str(cluster.folder))
        try:
            yield cluster
        finally:
            with FileLock(common / "kube-apiserver.lock", timeout=BUILD_S):
                fcntl.flock(users, fcntl.LOCK_UN)
                _end_if_unused(cluster, users, place)


def _started() -> Cluster:
    crds, binary = chaos_mesh_crds(), api_server_binary()
    # A path of sockets must be short.
    cluster = Cluster(Path(tempfile.mkdtemp(prefix="kube-")), binary)
    cluster.start()
    cluster.install(crds)
    return cluster


def _end_if_unused(cluster: Cluster, users: IO[str], place: Path) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    cluster.stop()
    shutil.rmtree(cluster.folder)
    place.unlink()


def new_namespace(api: KubernetesApi, prefix: str = "shop") -> str:
    """A namespace that no other test has."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


def _serves(api: KubernetesApi, path: str) -> bool:
    try:
        api.get(path, limit="1")
    except Exception:
        return False
    return True


def _build(binary: Path) -> None:
    version = "k8s.io/component-base/version"
    major, minor, _ = API_SERVER_VERSION.removeprefix("v").split(".")
    names = {"gitVersion": API_SERVER_VERSION, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X {version}.{name}={value}" for name, value in names.items())
    binary.parent.mkdir(parents=True, exist_ok=True)
    # Without debugging information it is built in a third of the time.
    argv = ["build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {flags}"]
    go([*argv, "-o", f"{binary}.new", "."], _SOURCE, {}, f"the API server; or set {BINARY}")
    Path(f"{binary}.new").rename(binary)


def _locked(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "lock", timeout=BUILD_S)


def pod_manifest(
    namespace: str,
    name: str,
    *,
    owner: Json | None = None,
    node: str = "node-1",
    port: int = 8080,
    annotations: Json | None = None,
    labels: Json | None = None,
) -> Json:
    """A pod of one container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": annotations or {},
            "labels": labels or {},
            **({"ownerReferences": [owner]} if owner else {}),
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "app", "image": "app:1", "ports": [{"containerPort": port}]}],
        },
    }


if __name__ == "__main__":
    # Where something lacks, the tests say so.
    with suppress(pytest.skip.Exception):
        api_server_binary()
        helm_binary()
