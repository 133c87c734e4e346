"""Chaos Mesh's controllers of Schedules and Workflows, and a cluster's garbage collector, for one namespace.

What they make, how that is labelled and owned, and when they remove it is what the real ones do
(controllers/schedule/cron, gc and pause; pkg/workflow/controllers).
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from chaos_controller import has_lasted
from cluster_world import stamp

from microservo.errors import Retryable
from microservo.platforms.kubernetes.api import Conflict, Json, KubernetesApi, NotFound
from microservo.platforms.kubernetes.chaos.experiment import API_VERSION, PLURALS, ROOT, collection
from microservo.platforms.kubernetes.chaos.status import PAUSE_ANNOTATION, status_of
from microservo.platforms.kubernetes.pods import instant_us

SPEC_OF: Mapping[str, str] = {
    "IOChaos": "ioChaos",
    "DNSChaos": "dnsChaos",
    "HTTPChaos": "httpChaos",
    "JVMChaos": "jvmChaos",
    **{kind: kind[0].lower() + kind[1:] for kind in PLURALS if not kind[:2].isupper()},
}
"""Under which name a Schedule or a template of a Workflow has what it makes of a kind."""

_ROUND_S = 0.05
_ONE_SHOT = ("pod-kill", "container-kill")


class Schedules:
    """Plays them for a namespace, in a thread of its own while it is `running`.

    Args:
        api: the cluster.
        namespace: the only one that is looked at.
    """

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._stopping = threading.Event()
        self._begun: set[str] = set()
        self._workflows = ThreadPoolExecutor(8)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Runs it."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            self._thread.join()
            self._workflows.shutdown()

    def schedule(self, name: str, kind: str, spec: Json, *, every_s: int, **more: object) -> str:
        """Makes a Schedule as kubectl would; its path."""
        body = {
            "schedule": f"@every {every_s}s",
            "type": kind,
            "historyLimit": 2,
            SPEC_OF[kind]: spec,
            **more,
        }
        return self._make("Schedule", "schedules", {"name": name}, body)

    def workflow(self, name: str, templates: Sequence[Json], entry: str) -> str:
        """Makes a Workflow as kubectl would; its path."""
        return self._make(
            "Workflow", "workflows", {"name": name}, {"entry": entry, "templates": list(templates)}
        )

    def _make(self, kind: str, plural: str, metadata: Json, spec: Json) -> str:
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
        made = self._api.create(self._path(plural), body)
        return f"{self._path(plural)}/{made['metadata']['name']}"

    def _path(self, plural: str) -> str:
        return f"{ROOT}/namespaces/{self._namespace}/{plural}"

    def _run(self) -> None:
        while not self._stopping.wait(_ROUND_S):
            # The next round tries again.
            with contextlib.suppress(NotFound, Conflict, Retryable):
                self._round()

    def _round(self) -> None:
        schedules = self._api.get(self._path("schedules"))["items"]
        workflows = self._api.get(self._path("workflows"))["items"]
        owners = {each["metadata"]["uid"] for each in (*schedules, *workflows)}
        for each in schedules:
            self._spawn(each)
        for each in workflows:
            uid = each["metadata"]["uid"]
            if uid not in self._begun:
                self._begun.add(uid)
                self._workflows.submit(self._node, each, each["spec"]["entry"], {"kind": "Workflow", **each})
        for kind in PLURALS:
            for child in self._api.get(collection(self._namespace, kind))["items"]:
                self._collect_garbage(kind, child, owners)

    def _collect_garbage(self, kind: str, child: Json, owners: set[str]) -> None:
        made_by = [
            each for each in child["metadata"].get("ownerReferences") or () if each["kind"] == "Schedule"
        ]
        if made_by and made_by[0]["uid"] not in owners and "deletionTimestamp" not in child["metadata"]:
            self._api.delete(f"{collection(self._namespace, kind)}/{child['metadata']['name']}")

    def _spawn(self, schedule: Json) -> None:
        spec, metadata = schedule["spec"], schedule["metadata"]
        kind = spec["type"]
        children = self._children(kind, metadata["uid"])
        is_paused = (metadata.get("annotations") or {}).get(PAUSE_ANNOTATION) == "true"
        for each in children:
            self._pause(kind, each, is_paused=is_paused)
        for each in children[: max(0, len(children) - spec["historyLimit"])]:
            if _is_done(each):
                self._api.delete(f"{collection(self._namespace, kind)}/{each['metadata']['name']}")
        last = (schedule.get("status") or {}).get("time") or metadata["creationTimestamp"]
        period_s = float(spec["schedule"].removeprefix("@every ").removesuffix("s"))
        is_forbidden = spec.get("concurrencyPolicy", "Forbid") == "Forbid" and not all(
            map(_is_done, children)
        )
        if is_paused or is_forbidden or time.time() < instant_us(last) / 1e6 + period_s:
            return
        owner = _owner("Schedule", metadata)
        name = f"{metadata['name']}-{secrets.token_hex(3)}"
        self._create(kind, spec[SPEC_OF[kind]], name, owner, {"managed-by": metadata["name"]})
        path = f"{self._path('schedules')}/{metadata['name']}"
        self._api.merge(path, {"status": {"time": stamp(time.time())}})

    def _pause(self, kind: str, child: Json, *, is_paused: bool) -> None:
        value = str(is_paused).lower()
        if (child["metadata"].get("annotations") or {}).get(PAUSE_ANNOTATION, "false") != value:
            path = f"{collection(self._namespace, kind)}/{child['metadata']['name']}"
            self._api.merge(path, {"metadata": {"annotations": {PAUSE_ANNOTATION: value}}})

    def _children(self, kind: str, uid: str) -> list[Json]:
        found = self._api.get(collection(self._namespace, kind))["items"]
        ours = [
            each
            for each in found
            if any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or ())
        ]
        return sorted(
            ours, key=lambda each: (each["metadata"]["creationTimestamp"], each["metadata"]["name"])
        )

    def _create(self, kind: str, spec: Json, name: str, owner: Json, labels: Json) -> str:
        path = collection(self._namespace, kind)
        metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
        self._api.create(path, body)
        return f"{path}/{name}"

    def _node(self, workflow: Json, template_name: str, parent: Json) -> None:
        """Plays one node of a Workflow, and what it consists of, until it is over."""
        template = next(each for each in workflow["spec"]["templates"] if each["name"] == template_name)
        node = self._workflow_node(workflow, template, parent)
        kind = template["templateType"]
        if kind == "Serial":
            for child in template["children"]:
                self._node(workflow, child, node)
        elif kind == "Parallel":
            with ThreadPoolExecutor(len(template["children"])) as threads:
                list(threads.map(lambda child: self._node(workflow, child, node), template["children"]))
        elif kind in PLURALS:
            labels = {
                "chaos-mesh.org/controlled-by": node["metadata"]["name"],
                "chaos-mesh.org/workflow": workflow["metadata"]["name"],
            }
            name = f"{node['metadata']['name']}-{secrets.token_hex(3)}"
            owner = _owner("WorkflowNode", node["metadata"])
            path = self._create(kind, template[SPEC_OF[kind]], name, owner, labels)
            self._stopping.wait(float(template["deadline"].removesuffix("s")))
            self._api.delete(path)

    def _workflow_node(self, workflow: Json, template: Json, parent: Json) -> Json:
        name = f"{template['name']}-{secrets.token_hex(3)}"
        labels = {
            "chaos-mesh.org/controlled-by": parent["metadata"]["name"],
            "chaos-mesh.org/workflow": workflow["metadata"]["name"],
        }
        spec = {
            **{field: value for field, value in template.items() if field not in ("name", "templateType")},
            "templateName": template["name"],
            "workflowName": workflow["metadata"]["name"],
            "type": template["templateType"],
            "startTime": stamp(time.time()),
        }
        spec.pop("deadline", None)
        owner = _owner(parent["kind"], parent["metadata"])
        metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
        body = {"apiVersion": API_VERSION, "kind": "WorkflowNode", "metadata": metadata, "spec": spec}
        return {"kind": "WorkflowNode", **self._api.create(self._path("workflownodes"), body)}


def _owner(kind: str, metadata: Json) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _is_done(child: Json) -> bool:
    status = status_of(child)
    if child["spec"].get("action") in _ONE_SHOT:
        return status.is_injected
    # One that is paused goes on.
    return has_lasted(child) and status.stopping and not status.is_in_force
