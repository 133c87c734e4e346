"""Follows what others do with Chaos Mesh in some namespaces, and says what is to be declared of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from microservo.platforms.kubernetes.api import Json, KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, collection
from microservo.platforms.kubernetes.chaos.objects import ChaosObjects
from microservo.platforms.kubernetes.chaos.others import is_ours, requests_of
from microservo.platforms.kubernetes.chaos.status import status_of
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.kubernetes.reflector import Reflector
from schemas.records import FaultRequest

OnRequest = Callable[[FaultRequest], None]


class Requests(Protocol):
    """Gives what is to be declared of an object; raises as `KubernetesApi.get`."""

    def __call__(self, found: Json, *, is_last: bool) -> Iterator[FaultRequest]: ...


class OthersFaults:
    """What others have in force on the target.

    Args:
        api: the cluster.
        namespaces: where their objects are looked for.
        objects: those of the cluster.
        discovery: its pods.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        api: KubernetesApi,
        namespaces: Sequence[str],
        objects: ChaosObjects,
        discovery: Discovery,
        clock: Callable[[], int],
    ) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)
        self._objects = objects
        self._discovery = discovery
        self._clock = clock

    @contextmanager
    def following(self, on_request: OnRequest) -> Iterator[None]:
        """Calls `on_request` with each declaration, once, from threads of this, while the context lasts."""
        told = _Told(self._requests, on_request)
        reflectors = [
            Reflector(
                self._api,
                collection(namespace, kind),
                kept=lambda found, kind=kind: {**found, "kind": kind},  # type: ignore[misc]
                on_change=told.changed,
            )
            for namespace in self._namespaces
            for kind in PLURALS
            if kind in self._objects.kinds()
        ]
        with self._discovery.telling_ends(told.pod_gone):
            for reflector in reflectors:
                reflector.start()
            try:
                yield
            finally:
                for reflector in reflectors:
                    reflector.stop()

    def _requests(self, found: Json, *, is_last: bool) -> Iterator[FaultRequest]:
        metadata = found["metadata"]
        events = self._objects.events(metadata["namespace"], metadata["name"], metadata["uid"])
        gone_us = self._clock() if is_last else None
        return requests_of(found, events, self._service, gone_us=gone_us, pod_gone_us=self._discovery.gone_us)

    def _service(self, instance: str) -> str | None:
        pod = self._discovery.known(instance)
        return None if pod is None else self._discovery.service(pod)


class _Told:
    """Says what is to be declared of objects, once each, when they or the pods that they act on change."""

    def __init__(self, requests: Requests, on_request: OnRequest) -> None:
        self._requests = requests
        self._on_request = on_request
        self._told: set[tuple[str, str]] = set()
        self._objects: dict[str, Json] = {}
        self._lock = threading.Lock()

    def changed(self, _before: Json | None, found: Json, is_last: bool) -> None:
        if is_ours(found) or not status_of(found).records:
            return
        uid = found["metadata"]["uid"]
        with self._lock:
            if is_last:
                self._objects.pop(uid, None)
            else:
                self._objects[uid] = found
            self._tell(found, is_last=is_last)

    def pod_gone(self, instance: str) -> None:
        with self._lock:
            for found in self._objects.values():
                if any(record.instance == instance for record in status_of(found).carriers):
                    self._tell(found, is_last=False)

    def _tell(self, found: Json, *, is_last: bool) -> None:
        for request in self._requests(found, is_last=is_last):
            key = (request.fault_id, request.action)
            if key not in self._told:
                self._told.add(key)
                self._on_request(request)
