"""What a cluster has and the API server of the tests has not: a kubelet, workload controllers, Chaos Mesh.

Each of them does what the real one would write into the API, no more. Chaos Mesh's part follows the order of
its controllers: finalizer, desired phase, records with their events, conditions one round later; and the
phases of its kinds (controllers/common/records, controllers/chaosimpl).
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubernetes_cluster import pod_manifest

from microservo.errors import MicroServoError, Retryable
from microservo.platforms.kubernetes.api import Conflict, Json, KubernetesApi, NotFound
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, ROOT

_FINALIZER = "chaos-mesh/records"
_ROUND_S = 0.02
_WAITING = ("NetworkChaos", "IOChaos", "HTTPChaos")
"""Kinds that the daemon is asked for by an object of its own: a record waits for it, either way."""
_ONE_SHOT = ("pod-kill", "container-kill")
"""Actions that no pause undoes."""


@dataclass
class Behaviour:
    """How Chaos Mesh shall behave.

    Attributes:
        selects: finds the pods that it is to act on.
        injects: succeeds in putting faults in force.
        recovers: succeeds in ending them.
        writes_events: makes core Events.
    """

    selects: bool = True
    injects: bool = True
    recovers: bool = True
    writes_events: bool = True


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


@dataclass
class ChaosController:
    """Chaos Mesh's controller for one namespace; in a thread of its own between `start` and `stop`."""

    workloads: Workloads
    behaviour: Behaviour = field(default_factory=Behaviour)
    restart_s: float = 1.1
    """How long the kubelet, or an owner, takes to replace what was killed."""
    stamped_us: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """The exact instants that were written, by record and operation."""
    stamped_by_object_us: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """The same, by the name of the object and operation."""

    def __post_init__(self) -> None:
        self._api = self.workloads.api
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lag: list[threading.Timer] = []

    def _run(self) -> None:
        while not self._stopping.wait(_ROUND_S):
            for kind, plural in PLURALS.items():
                path = f"{ROOT}/namespaces/{self.workloads.namespace}/{plural}"
                try:
                    found = self._api.get(path)["items"]
                except MicroServoError:
                    continue
                for each in found:
                    # The next round tries again.
                    with contextlib.suppress(NotFound, Conflict, Retryable):
                        self._reconcile({"kind": kind, **each}, f"{path}/{each['metadata']['name']}")

    def _reconcile(self, found: Json, path: str) -> None:
        metadata, status = found["metadata"], found.get("status") or {}
        experiment = status.get("experiment") or {}
        is_paused = (metadata.get("annotations") or {}).get(
            "experiment.chaos-mesh.org/pause"
        ) == "true" and found["spec"].get("action") not in _ONE_SHOT
        is_ending = "deletionTimestamp" in metadata
        if (metadata.get("annotations") or {}).get("chaos-mesh.chaos-mesh.org/cleanFinalizer") == "forced":
            self._api.merge(path, {"metadata": {"finalizers": None}})
            return
        if _FINALIZER not in metadata.get("finalizers", ()):
            if not is_ending:
                self._api.merge(path, {"metadata": {"finalizers": [_FINALIZER]}})
            return
        records = copy.deepcopy(experiment.get("containerRecords"))
        if records is None and not is_ending:
            records = self._select(found)
            if not records:
                self._warn(found, "Failed to select targets: no target has been selected")
                self._set(path, found, "Run", records, selected=False)
                return
        phase = "Stop" if is_ending or is_paused else "Run"
        changed = [self._act(found, each, phase) for each in records or ()]
        is_new = experiment.get("containerRecords") is None or experiment.get("desiredPhase") != phase
        if any(changed) or is_new:
            self._set(path, found, phase, records or [], selected=True)
        if is_ending and all(each["phase"] == "Not Injected" for each in records or ()):
            self._api.merge(path, {"metadata": {"finalizers": None}})

    def _select(self, found: Json) -> list[Json]:
        if not self.behaviour.selects:
            return []
        spec = found["spec"]
        # HTTPChaos has a text there.
        peer = spec["target"]["selector"] if found["kind"] == "NetworkChaos" and "target" in spec else {}
        return [
            self._record(f"{namespace}/{name}", key, found)
            for key, selector in ((".", spec["selector"]), (".Target", peer))
            for namespace, names in (selector.get("pods") or {}).items()
            for name in names
        ]

    def _record(self, pod: str, key: str, found: Json) -> Json:
        containers = found["spec"].get("containerNames")
        record = f"{pod}/{containers[0]}" if containers else pod
        return {
            "id": record,
            "selectorKey": key,
            "phase": "Not Injected",
            "injectedCount": 0,
            "recoveredCount": 0,
            "events": [],
        }

    def _act(self, found: Json, record: Json, phase: str) -> bool:
        """One step of Not Injected, Not Injected/Wait, Injected, Injected/Wait; whether it was one."""
        now = record["phase"]
        if now == {"Run": "Injected", "Stop": "Not Injected"}[phase]:
            return False
        if found["kind"] in _WAITING and not now.endswith("/Wait"):
            record["phase"] = f"{now}/Wait"
            return True
        # What is being applied is applied first, even if it is to be recovered by now.
        return self._apply(found, record) if now.startswith("Not Injected") else self._recover(found, record)

    def _apply(self, found: Json, record: Json) -> bool:
        if not self.behaviour.injects:
            return self._failed(record, "Apply", "unable to flush ip sets for pod")
        action, pod = found["spec"].get("action"), record["id"].split("/")[1]
        if action == "pod-kill":
            self._replace(pod)
        elif action == "container-kill":
            self._restart(pod)
        self._succeeded(found, record, "Apply", "Injected")
        record["injectedCount"] += 1
        return True

    def _recover(self, found: Json, record: Json) -> bool:
        if not self.behaviour.recovers:
            return self._failed(record, "Recover", "container daemon is not reachable")
        self._succeeded(found, record, "Recover", "Not Injected")
        record["recoveredCount"] += 1
        return True

    def _failed(self, record: Json, operation: str, message: str) -> bool:
        if record["events"] and record["events"][-1]["type"] == "Failed":
            return False
        event = {
            "type": "Failed",
            "operation": operation,
            "timestamp": stamp(time.time()),
            "message": message,
        }
        record["events"].append(event)
        return True

    def _succeeded(self, found: Json, record: Json, operation: str, phase: str) -> None:
        nanoseconds = time.time_ns()
        record["phase"] = phase
        record["events"].append(
            {"type": "Succeeded", "operation": operation, "timestamp": stamp(nanoseconds / 1e9)}
        )
        self.stamped_us.setdefault((record["id"], operation), []).append(nanoseconds // 1000)
        by_object = (found["metadata"]["name"], operation)
        self.stamped_by_object_us.setdefault(by_object, []).append(nanoseconds // 1000)
        if self.behaviour.writes_events:
            reason = {"Apply": "Applied", "Recover": "Recovered"}[operation]
            annotations = {"chaos-mesh.org/type": reason.lower(), "chaos-mesh.org/id": record["id"]}
            name = f"{found['metadata']['name']}.{nanoseconds:x}"
            self._event(found, name, reason, f"Successfully {operation.lower()} chaos", annotations)

    def _warn(self, found: Json, message: str) -> None:
        self._event(found, f"{found['metadata']['name']}.{time.time_ns():x}", "Failed", message, {})

    def _event(self, found: Json, name: str, reason: str, message: str, annotations: Json) -> None:
        metadata, now = found["metadata"], stamp(time.time())
        self._api.create(
            f"/api/v1/namespaces/{metadata['namespace']}/events",
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": metadata["namespace"], "annotations": annotations},
                "involvedObject": {
                    "apiVersion": "chaos-mesh.org/v1alpha1",
                    "kind": found["kind"],
                    "name": metadata["name"],
                    "namespace": metadata["namespace"],
                    "uid": metadata["uid"],
                },
                "reason": reason,
                "message": message,
                "type": "Warning" if reason == "Failed" else "Normal",
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "source": {"component": "chaos-controller"},
            },
        )

    def _set(self, path: str, found: Json, phase: str, records: list[Json], *, selected: bool) -> None:
        injected = [each["phase"] == "Injected" for each in records]
        before = found.get("status") or {}
        conditions = {
            "Selected": selected,
            "AllInjected": bool(injected) and all(injected),
            "AllRecovered": all(each["phase"] == "Not Injected" for each in records),
            "Paused": phase == "Stop" and "deletionTimestamp" not in found["metadata"],
        }
        # Conditions are worked out before the records of a round change.
        known = (before.get("experiment") or {}).get("containerRecords")
        if known is None:
            conditions |= {"AllInjected": False, "AllRecovered": True}
        status = {
            "conditions": [{"type": name, "status": str(value)} for name, value in conditions.items()],
            "experiment": {"desiredPhase": phase, "containerRecords": records if selected else None},
        }
        if status != before:
            self._api.merge(path, {"status": status})

    def _replace(self, pod: str) -> None:
        owner = self.workloads.delete(pod)
        if owner is not None:
            self._later(lambda: self.workloads.pod(owner))

    def _restart(self, pod: str) -> None:
        self.workloads.stop_container(pod)
        self._later(lambda: self.workloads.run(pod))

    def _later(self, act: Any) -> None:
        timer = threading.Timer(self.restart_s, act)
        timer.daemon = True
        timer.start()
        self._lag.append(timer)

    @contextlib.contextmanager
    def running(self) -> Iterator[ChaosController]:
        """Runs it."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._thread.join()
            for timer in self._lag:
                timer.join()
