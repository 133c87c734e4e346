"""Chaos Mesh's controller of faults, as far as it writes into the API.

It follows the order of the real one: finalizer, desired phase, records with their events, conditions one
round later; and the phases of its kinds (controllers/common/records, controllers/chaosimpl).
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cluster_world import Workloads, stamp

from microservo.errors import MicroServoError, Retryable
from microservo.platforms.kubernetes.api import Conflict, Json, NotFound
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, ROOT
from microservo.platforms.kubernetes.chaos.status import PAUSE_ANNOTATION
from microservo.platforms.kubernetes.pods import instant_us

_FINALIZER = "chaos-mesh/records"
_ROUND_S = 0.07
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
        events_late_s: so much later than the records have what they tell of.
        at_once: acts on all records in one round, rather than on one after another.
        gives_up: lets an object go when that is forced.
        reaches: acts on so many of the records, and says nothing of the others; None for all.
    """

    selects: bool = True
    injects: bool = True
    recovers: bool = True
    writes_events: bool = True
    events_late_s: float = 0.0
    at_once: bool = True
    gives_up: bool = True
    reaches: int | None = None


@dataclass
class ChaosController:
    """Chaos Mesh's controller of faults for some namespaces; in threads of its own while it is `running`."""

    workloads: Workloads
    behaviour: Behaviour = field(default_factory=Behaviour)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    """Other behaviours, by what the names of the pods begin with that an object is to act on.

    While it runs they are replaced by others, and never changed: its threads read them.
    """
    namespaces: tuple[str, ...] = ()
    """Those whose objects it sees, beside that of the workloads."""
    restart_s: float = 1.1
    """How long the kubelet, or an owner, takes to replace what was killed."""
    replaces: bool = True
    """Whether owners replace pods that were killed; if not, those that lack one stand in `owed`."""
    owed: list[Json] = field(default_factory=list)
    stamped_us: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """The exact instants that were written, by record and operation."""
    stamped_by_object_us: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """The same, by the name of the object and operation."""

    def __post_init__(self) -> None:
        self._api = self.workloads.api
        self._stopping = threading.Event()
        self._broken: list[Exception] = []
        # As the real one has a controller for each kind.
        self._threads = [threading.Thread(target=self._run, args=[kind], daemon=True) for kind in PLURALS]
        self._lag: list[threading.Timer] = []

    def _run(self, kind: str) -> None:
        try:
            self._reconcile_all(kind)
        except Exception as error:
            self._broken.append(error)
            raise

    def _reconcile_all(self, kind: str) -> None:
        paths = [
            f"{ROOT}/namespaces/{namespace}/{PLURALS[kind]}"
            for namespace in (self.workloads.namespace, *self.namespaces)
        ]
        while not self._stopping.wait(_ROUND_S):
            for path in paths:
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
        is_once = found["spec"].get("action") in _ONE_SHOT
        is_paused = (metadata.get("annotations") or {}).get(PAUSE_ANNOTATION) == "true" and not is_once
        is_over = has_lasted(found) and not is_once
        is_ending = "deletionTimestamp" in metadata
        forced = (metadata.get("annotations") or {}).get(
            "chaos-mesh.chaos-mesh.org/cleanFinalizer"
        ) == "forced"
        if forced and is_ending and self._behaves(found).gives_up:
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
        phase = "Stop" if is_ending or is_over or is_paused else "Run"
        changed = self._round(found, records or [], phase)
        is_new = experiment.get("containerRecords") is None or experiment.get("desiredPhase") != phase
        if changed or is_new:
            self._set(path, found, phase, records or [], selected=True)
        if is_ending and all(each["phase"] == "Not Injected" for each in records or ()):
            self._api.merge(path, {"metadata": {"finalizers": None}})

    def _round(self, found: Json, records: list[Json], phase: str) -> bool:
        """Acts on records; whether any has changed."""
        changed, behaviour = False, self._behaves(found)
        for each in records[: behaviour.reaches]:
            changed |= self._act(found, each, phase)
            if changed and not behaviour.at_once:
                break
        return changed

    def _behaves(self, found: Json) -> Behaviour:
        """How it is with an object."""
        pods = [name for names in found["spec"]["selector"].get("pods", {}).values() for name in names]
        for prefix, behaviour in self.behaviours.items():
            if any(name.startswith(prefix) for name in pods):
                return behaviour
        return self.behaviour

    def _select(self, found: Json) -> list[Json]:
        if not self._behaves(found).selects:
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
        if not self._behaves(found).injects:
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
        if not self._behaves(found).recovers:
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
        behaviour = self._behaves(found)
        if behaviour.writes_events:
            reason = {"Apply": "Applied", "Recover": "Recovered"}[operation]
            annotations = {"chaos-mesh.org/type": reason.lower(), "chaos-mesh.org/id": record["id"]}
            name = f"{found['metadata']['name']}.{nanoseconds:x}"
            said = f"Successfully {operation.lower()} chaos"
            if behaviour.events_late_s:
                self._later(
                    lambda: self._event(found, name, reason, said, annotations), behaviour.events_late_s
                )
            else:
                self._event(found, name, reason, said, annotations)

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
        if owner is not None and not self.replaces:
            self.owed.append(owner)
        elif owner is not None:
            self._later(lambda: self.workloads.pod(owner), self.restart_s)

    def _restart(self, pod: str) -> None:
        self.workloads.stop_container(pod)
        self._later(lambda: self.workloads.run(pod), self.restart_s)

    def _later(self, act: Callable[[], object], seconds: float) -> None:
        def noted() -> None:
            try:
                act()
            except Exception as error:
                self._broken.append(error)
                raise

        timer = threading.Timer(seconds, noted)
        timer.daemon = True
        timer.start()
        self._lag.append(timer)

    @contextlib.contextmanager
    def running(self) -> Iterator[ChaosController]:
        """Runs it."""
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()
            for timer in self._lag:
                timer.join()
            if self._broken:
                msg = "a controller has ended, or did not replace a pod, so what came of that says nothing"
                raise ExceptionGroup(msg, self._broken)


def has_lasted(found: Json) -> bool:
    """Whether the duration of an object is over, which counts from when it was made."""
    duration = found["spec"].get("duration")
    made_us = instant_us(found["metadata"]["creationTimestamp"])
    return duration is not None and time.time() >= made_us / 1e6 + float(duration.removesuffix("s"))
