"""Follows what others do with Chaos Mesh in some namespaces, and says what is to be declared of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from microservo.platforms.kubernetes.api import Json, KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, collection
from microservo.platforms.kubernetes.chaos.objects import ChaosObjects
from microservo.platforms.kubernetes.chaos.others import is_ours, requests_of
from microservo.platforms.kubernetes.chaos.status import status_of
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.kubernetes.reflector import Reflector
from schemas.records import FaultRequest

OnRequest = Callable[[FaultRequest], None]


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
        reflectors = [
            self._reflector(namespace, kind, on_request)
            for namespace in self._namespaces
            for kind in PLURALS
            if kind in self._objects.kinds()
        ]
        for reflector in reflectors:
            reflector.start()
        try:
            yield
        finally:
            for reflector in reflectors:
                reflector.stop()

    def _reflector(self, namespace: str, kind: str, on_request: OnRequest) -> Reflector[Json]:
        told: set[tuple[str, str]] = set()

        def changed(_before: Json | None, found: Json, is_last: bool) -> None:
            if is_ours(found) or not status_of(found).records:
                return
            for request in self._requests({**found, "kind": kind}, is_last=is_last):
                key = (request.fault_id, request.action)
                if key not in told:
                    told.add(key)
                    on_request(request)

        return Reflector(self._api, collection(namespace, kind), kept=dict, on_change=changed)

    def _requests(self, found: Json, *, is_last: bool) -> Iterator[FaultRequest]:
        metadata = found["metadata"]
        events = self._objects.events(metadata["namespace"], metadata["name"], metadata["uid"])
        gone_us = self._clock() if is_last else None
        return requests_of(found, events, self._service, gone_us=gone_us)

    def _service(self, instance: str) -> str | None:
        pod = self._discovery.known(instance)
        return None if pod is None else self._discovery.service(pod)
