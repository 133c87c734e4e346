"""A real API server (etcd and kube-apiserver in one process) on loopback, for as long as a test needs it.

The program is built of Go modules, by name, the first time: some minutes, so CI runs this file beforehand.
It has no scheduler, no kubelet and no controllers: pods are records; what makes them run is up to the test.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from filelock import FileLock
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
_BUILD_S = 3600
_START_S = 180.0


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
            _go(argv, _SOURCE.parent, {"GOBIN": str(folder)}, f"Helm; or set {HELM}")
    return folder / "helm"


def chaos_mesh_crds() -> Path:
    """The folder of the CRDs."""
    named = os.environ.get(CRDS, "")
    if not named or not Path(named).is_dir():
        missing(f"{CRDS} names no folder with Chaos Mesh's CRDs (config/crd/bases of its repository)")
    return Path(named)


class Cluster:
    """A server that runs; `admin` may do everything.

    Args:
        folder: gets its state and its log; a fresh one for each server.
        binary: the program.
        flags: more flags of kube-apiserver.
    """

    def __init__(self, folder: Path, binary: Path, flags: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._binary = binary
        self._flags = flags
        self._address = "127.0.0.1:0"
        self._tokens = {name: secrets.token_hex(16) for name in ("admin", "nobody")}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, again on the same port with the same data after `kill`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        groups = {"admin": ",system:masters", "nobody": ""}
        lines = (f"{token},{name},uid-{name}{groups[name]}\n" for name, token in self._tokens.items())
        (self._folder / "tokens.csv").write_text("".join(lines))
        (self._folder / "addr").unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, self._folder, self._address, *self._flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
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

    def api(self, user: str = "admin") -> KubernetesApi:
        """The API for one of the users, or with a token."""
        settings = Configuration()
        settings.connection_pool_maxsize = 64
        settings.retries = False
        config.load_kube_config_from_dict(self.kubeconfig(user), client_configuration=settings)
        return KubernetesApi(ApiClient(settings))

    def kubeconfig(self, user: str = "admin") -> dict[str, Any]:
        """What kubectl would read."""
        authority = base64.b64encode(self._certificate.read_bytes()).decode()
        server = {"server": f"https://{self._address}", "certificate-authority-data": authority}
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
    def _certificate(self) -> Path:
        return self._folder / "certs" / "apiserver.crt"

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"the API server ended: {(self._folder / 'log').read_text()[-2000:]}")
        try:
            self._address = (self._folder / "addr").read_text() or self._address
            answer = requests.get(
                f"https://{self._address}/readyz",
                headers={"Authorization": f"Bearer {self._tokens['admin']}"},
                verify=str(self._certificate),
                timeout=2,
            )
        except OSError:
            return False
        return answer.ok

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


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
    _go([*argv, "-o", f"{binary}.new", "."], _SOURCE, {}, f"the API server; or set {BINARY}")
    Path(f"{binary}.new").rename(binary)


def _go(argv: list[str], folder: Path, variables: dict[str, str], what: str) -> None:
    """Builds with Go; skips where that can't be done."""
    beside = Path(sys.executable).parent
    # That beside is the version of constraints.txt; another one on the path may be too old.
    go = shutil.which("go", path=str(beside)) or shutil.which("go")
    if go is None:
        missing(f"Go 1.26 or later is not installed, which builds {what}")
        return
    built = subprocess.run(
        [go, *argv],
        cwd=folder,
        env={**os.environ, "CGO_ENABLED": "0", **variables},
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        check=False,
    )
    if built.returncode:
        missing(f"Go could not build {what}: {built.stderr[-2000:]}")


def _locked(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "lock", timeout=_BUILD_S)


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
