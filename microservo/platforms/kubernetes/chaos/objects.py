"""The objects of Chaos Mesh in a cluster: made, looked at, followed, ended."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from math import ceil

from microservo.errors import InvalidInput, Retryable
from microservo.platforms.kubernetes.api import Conflict, Json, KubernetesApi, NotFound
from microservo.platforms.kubernetes.chaos.experiment import (
    INSTANCE_LABEL,
    MANAGER,
    PLURALS,
    ROOT,
    collection,
)
from microservo.platforms.kubernetes.chaos.instants import CoreEvent, core_events

_FORCED = {"metadata": {"annotations": {"chaos-mesh.chaos-mesh.org/cleanFinalizer": "forced"}}}
_FREED = {"metadata": {"finalizers": None}}
_GIVEN_UP_S = 5.0
"""How long Chaos Mesh may take to give an object up."""
_LOOKED_UP_S = 30.0


class ChaosObjects:
    """Asks the cluster. Several threads may use it.

    Args:
        api: the cluster.
    """

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._kinds: frozenset[str] = frozenset()
        self._looked_up_s = -_LOOKED_UP_S
        self._lock = threading.Lock()

    def kinds(self) -> frozenset[str]:
        """The kinds of objects that this cluster knows; empty where Chaos Mesh is not installed."""
        with self._lock:
            if time.monotonic() - self._looked_up_s > _LOOKED_UP_S:
                self._look_up()
            return self._kinds

    def get(self, namespace: str, kind: str, name: str) -> Json | None:
        """The object; None if there is none. Raises as `KubernetesApi.get`."""
        try:
            return self._api.get(f"{collection(namespace, kind)}/{name}")
        except NotFound:
            return None

    def create(self, body: Json) -> bool:
        """Tries on the cluster whether it takes an object, and makes it; one of its name that is there stays.

        Returns:
            Whether it was made.

        Raises:
            InvalidInput: it is refused: by the schema, by Chaos Mesh, or this user may not.
            Retryable: no answer.
        """
        path = collection(body["metadata"]["namespace"], body["kind"])
        try:
            self._api.create(path, body, dry_run=True)
            self._api.create(path, body)
        except Conflict:
            return False
        except NotFound as error:
            msg = f"this cluster has no {body['kind']}: {error}; install Chaos Mesh (docs/kubernetes.md)"
            raise InvalidInput(msg) from error
        return True

    def delete(self, namespace: str, kind: str, name: str) -> None:
        """Begins to end an object; nothing where there is none."""
        try:
            self._api.delete(f"{collection(namespace, kind)}/{name}", propagationPolicy="Background")
        except NotFound:
            return

    def force(self, namespace: str, kind: str, name: str) -> None:
        """Has an object go that Chaos Mesh can't end, and returns once it has; the fault may stay in force.

        Chaos Mesh is asked to give it up. It may be what is broken: then its mark on the object is removed.

        Raises:
            InvalidInput: there is none.
            Retryable: no answer, or a webhook of a Chaos Mesh that is gone refuses every change.
        """
        path = f"{collection(namespace, kind)}/{name}"
        try:
            self._api.merge(path, _FORCED)
        except NotFound as error:
            msg = f"there is no {kind} {namespace}/{name} to give up; its recovery is over"
            raise InvalidInput(msg) from error
        if any(found is None for found in self.follow(namespace, kind, name, seconds=_GIVEN_UP_S)):
            return
        with contextlib.suppress(NotFound):
            self._api.merge(path, _FREED)

    def follow(self, namespace: str, kind: str, name: str, *, seconds: float) -> Iterator[Json | None]:
        """The object now and after each change, None when there is none; ends after so many seconds.

        The state in which it was deleted comes before the None.

        Raises:
            Retryable: no answer, or the connection broke.
        """
        deadline_s = time.monotonic() + seconds
        path, query = collection(namespace, kind), {"fieldSelector": f"metadata.name={name}"}
        try:
            listed = self._api.get(path, **query)
        except NotFound:
            yield None
            return
        yield listed["items"][0] if listed["items"] else None
        version = listed["metadata"]["resourceVersion"]
        while (left_s := deadline_s - time.monotonic()) > 0:
            watch = self._api.watch(
                path, **query, resourceVersion=version, timeoutSeconds=str(max(1, ceil(left_s)))
            )
            timer = threading.Timer(left_s, watch.stop)
            timer.daemon = True
            timer.start()
            try:
                for what, found in watch:
                    version = found["metadata"]["resourceVersion"]
                    if what == "BOOKMARK":
                        continue
                    yield found
                    if what == "DELETED":
                        yield None
            finally:
                timer.cancel()
                watch.close()

    def events(self, namespace: str, name: str, uid: str = "") -> tuple[CoreEvent, ...]:
        """What the cluster's events say of an object; they are kept for an hour.

        Without a uid they are those of all objects that had the name.
        """
        query = {
            "fieldSelector": f"involvedObject.name={name}" + (f",involvedObject.uid={uid}" if uid else "")
        }
        try:
            return core_events(self._api.get(f"/api/v1/namespaces/{namespace}/events", **query)["items"])
        except InvalidInput:
            # Who may not read events knows instants to a second, from the object.
            return ()

    def complaint(self, namespace: str, name: str) -> str:
        """The newest warning among the cluster's events about an object; empty where there is none."""
        query = {"fieldSelector": f"involvedObject.name={name},type=Warning"}
        try:
            found = self._api.get(f"/api/v1/namespaces/{namespace}/events", **query)["items"]
        except InvalidInput:
            return ""
        newest: Json = max(found, key=lambda each: each["metadata"]["creationTimestamp"], default={})
        return str(newest.get("message", ""))

    def ours(self, namespace: str, instance_label: str) -> list[Json]:
        """All that we have made for an instance. Raises as `KubernetesApi.get`."""
        labels = {**MANAGER, INSTANCE_LABEL: instance_label}
        query = {"labelSelector": ",".join(f"{name}={value}" for name, value in labels.items())}
        return [
            {"kind": kind, **each}
            for kind in PLURALS
            if kind in self.kinds()
            for each in self._api.get(collection(namespace, kind), **query)["items"]
        ]

    def _look_up(self) -> None:
        try:
            resources = self._api.get(ROOT)["resources"]
        except NotFound:
            resources = []
        except Retryable:
            # What it had a moment ago, it will still have.
            return
        self._kinds = frozenset(each["kind"] for each in resources)
        self._looked_up_s = time.monotonic()
