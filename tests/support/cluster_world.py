"""What a cluster has and the API server of the tests has not: a kubelet and workload controllers.

Each of them does what the real one would write into the API, no more.
"""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from typing import Any

from kubernetes_cluster import pod_manifest

from microservo.platforms.kubernetes.api import Json, KubernetesApi, NotFound


def stamp(at_s: float) -> str:
    """An instant as the API has it, in whole seconds."""
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Workloads:
    """Deployments and their pods, in one namespace, as controllers and kubelet would have them."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._number = 0
        self._owners: dict[str, Json] = {}
        self._restarts: dict[str, int] = {}

    def deploy(self, name: str, replicas: int = 1, **pod: Any) -> list[str]:
        """A Deployment, its ReplicaSet, and pods of it that run; the ids of these."""
        deployment = self._create("apps/v1", "Deployment", "deployments", name, None)
        owner = self._create("apps/v1", "ReplicaSet", "replicasets", f"{name}-7d9f5c", deployment)
        return [self.pod(owner, **pod) for _ in range(replicas)]

    def pod(self, owner: Json, **pod: Any) -> str:
        """One more pod of an owner, which runs and is ready; its id."""
        self._number += 1
        name = f"{owner['name']}-{self._number}"
        self.api.create(self._path("pods"), pod_manifest(self.namespace, name, owner=owner, **pod))
        self._owners[name] = owner
        self.run(name)
        self._measure(name)
        return f"{self.namespace}/{name}"

    def replace_by_name(self, name: str) -> None:
        """Deletes a pod and makes another one of its name, as the controller of a StatefulSet does."""
        owner = self.delete(name)
        self.api.create(self._path("pods"), pod_manifest(self.namespace, name, owner=owner))
        self.run(name)

    def run(self, name: str, *, at_s: float | None = None, is_ready: bool = True) -> None:
        """Has the container of a pod run since then."""
        at = stamp(time.time() if at_s is None else at_s)
        container = {
            "name": "app",
            "image": "app:1",
            "imageID": "",
            "ready": is_ready,
            "restartCount": self._restarts.get(name, 0),
            "state": {"running": {"startedAt": at}},
        }
        self._patch_status(
            name,
            {
                "phase": "Running",
                "containerStatuses": [container],
                "conditions": [
                    {"type": "Ready", "status": "True" if is_ready else "False", "lastTransitionTime": at}
                ],
            },
        )

    def stop_container(self, name: str) -> None:
        """Has the container of a pod be killed."""
        now = stamp(time.time())
        # The count goes up with the container that comes, not with the one that goes.
        restarts = self._restarts.get(name, 0)
        self._restarts[name] = restarts + 1
        ended = {"exitCode": 137, "finishedAt": now, "startedAt": now, "reason": "Error"}
        container = {
            "name": "app",
            "image": "app:1",
            "imageID": "",
            "ready": False,
            "restartCount": restarts,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": ended},
        }
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": now}
        self._patch_status(name, {"containerStatuses": [container], "conditions": [ready]})

    def delete(self, name: str) -> Json | None:
        """Deletes a pod at once; its owner."""
        with contextlib.suppress(NotFound):
            self.api.delete(f"{self._path('pods')}/{name}", gracePeriodSeconds="0")
        return self._owners.get(name)

    def _measure(self, name: str) -> None:
        usage = {"cpu": "12500000n", "memory": "65536Ki"}
        self.api.create(
            f"/apis/metrics.k8s.io/v1beta1/namespaces/{self.namespace}/pods",
            {
                "apiVersion": "metrics.k8s.io/v1beta1",
                "kind": "PodMetrics",
                "metadata": {"name": name},
                "containers": [{"name": "app", "usage": usage}],
            },
        )

    def _patch_status(self, name: str, status: Json) -> None:
        self.api.merge(f"{self._path('pods')}/{name}/status", {"status": status})

    def _path(self, plural: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{plural}"

    def _create(self, version: str, kind: str, plural: str, name: str, owner: Json | None) -> Json:
        labels = {"app": name}
        template = pod_manifest(self.namespace, name)
        created = self.api.create(
            f"/apis/{version}/namespaces/{self.namespace}/{plural}",
            {
                "apiVersion": version,
                "kind": kind,
                "metadata": {"name": name, **({"ownerReferences": [owner]} if owner else {})},
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": template["spec"]["containers"]},
                    },
                },
            },
        )
        return {
            "apiVersion": version,
            "kind": kind,
            "name": name,
            "uid": created["metadata"]["uid"],
            "controller": True,
        }
