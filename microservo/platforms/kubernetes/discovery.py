"""Which pods there are: looked up once, or followed by a watch of each namespace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from microservo.domain.remembered import Remembered
from microservo.platforms.kubernetes.api import Json, KubernetesApi
from microservo.platforms.kubernetes.pods import Pod, instance_of, pod_of
from microservo.platforms.kubernetes.reflector import Reflector
from microservo.platforms.kubernetes.services import Services
from microservo.platforms.platform import Instance, InstanceChange

SELECTOR = "app.kubernetes.io/part-of!=microservo"
"""MicroServo itself is no part of the target, wherever it is installed."""
_ENDED = ("Succeeded", "Failed")

OnPod = Callable[[Pod | None, Pod, bool], None]


class Discovery:
    """The pods of some namespaces. Several threads may ask.

    While somebody follows them, they are held by the watch, and nobody asks the cluster for them.

    Args:
        api: the cluster.
        namespaces: at least one.
        clock: epoch microseconds UTC.
    """

    def __init__(self, api: KubernetesApi, namespaces: Sequence[str], clock: Callable[[], int]) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)
        self._clock = clock
        self._services = Services(api)
        self._held: dict[str, Pod] = {}
        self._ended = Remembered[str, int]()
        self._gone = Remembered[str, Pod]()
        self._on_change: list[Callable[[str], None]] = []
        self._followers = 0
        self._is_complete = False
        self._lock = threading.Lock()

    def pods(self) -> list[Pod]:
        """Those that have not ended for good, in order of their ids. Raises as `KubernetesApi.get`."""
        with self._lock:
            if self._is_complete:
                return sorted(self._held.values(), key=lambda pod: pod.id)
        return self.listed()

    def listed(self) -> list[Pod]:
        """The same, asked of the cluster now: a watch may not have told yet of the newest."""
        found = (
            pod_of(each)
            for namespace in self._namespaces
            for page in self._api.pages(_path(namespace), labelSelector=SELECTOR)
            for each in page["items"]
        )
        return sorted((pod for pod in found if pod.phase not in _ENDED), key=lambda pod: pod.id)

    def pod(self, instance: str) -> Pod | None:
        """The pod of this id as it is now; None if there is none. Raises as `KubernetesApi.get`."""
        namespace, _, name = instance.partition("/")
        if namespace not in self._namespaces or not name:
            return None
        query = {"fieldSelector": f"metadata.name={name}", "labelSelector": SELECTOR}
        found: list[Json] = self._api.get(_path(namespace), **query)["items"]
        return pod_of(found[0]) if found else None

    def instance(self, pod: Pod) -> Instance:
        """The pod as others know it."""
        return instance_of(pod, self._services.of(pod))

    def service(self, pod: Pod) -> str:
        """The service of a pod."""
        return self._services.of(pod)

    def known(self, instance: str) -> Pod | None:
        """The pod of this id, or the last one that a watch has seen. Raises as `KubernetesApi.get`."""
        with self._lock:
            found = self._held.get(instance) or self._gone.get(instance)
        return found or self.pod(instance)

    def ended_us(self, uid: str) -> int | None:
        """When the pod of a uid ended, epoch microseconds UTC; None where a watch has not seen that."""
        with self._lock:
            return self._ended.get(uid)

    def gone_us(self, instance: str) -> int | None:
        """When the last pod of this id ended; None while there is one, or where a watch has not seen that."""
        with self._lock:
            pod = None if instance in self._held else self._gone.get(instance)
            return None if pod is None else self._ended.get(pod.uid)

    @contextmanager
    def telling_changes(self, on_change: Callable[[str], None]) -> Iterator[None]:
        """Calls `on_change` with the id of each pod whose change `following` sees, from its thread."""
        with self._lock:
            self._on_change.append(on_change)
        try:
            yield
        finally:
            with self._lock:
                self._on_change.remove(on_change)

    @contextmanager
    def following(self, on_change: Callable[[InstanceChange], None]) -> Iterator[None]:
        """Calls `on_change` as `Platform.watch` says."""
        follower = _Follower(self, on_change, self._clock)
        listed = [threading.Event() for _ in self._namespaces]
        reflectors = [
            Reflector(
                self._api,
                _path(namespace),
                kept=pod_of,
                on_change=follower.pod_changed,
                query={"labelSelector": SELECTOR},
                on_listed=lambda done=done: self._listed(done, listed),  # type: ignore[misc]
            )
            for namespace, done in zip(self._namespaces, listed, strict=True)
        ]
        with self._lock:
            self._followers += 1
        for reflector in reflectors:
            reflector.start()
        try:
            yield
        finally:
            for reflector in reflectors:
                reflector.stop()
            self._left()

    def hold(self, pod: Pod, *, is_last: bool) -> None:
        """Notes what a watch has told."""
        with self._lock:
            if is_last or pod.phase in _ENDED:
                self._held.pop(pod.id, None)
                self._gone[pod.id] = pod
                self._ended[pod.uid] = pod.ended_at_us or self._clock()
            else:
                self._held[pod.id] = pod
            listeners = tuple(self._on_change)
        for on_change in listeners:
            on_change(pod.id)

    def _listed(self, done: threading.Event, all_of_them: Sequence[threading.Event]) -> None:
        done.set()
        with self._lock:
            self._is_complete = all(each.is_set() for each in all_of_them)

    def _left(self) -> None:
        with self._lock:
            self._followers -= 1
            if not self._followers:
                self._is_complete = False
                self._held.clear()


class _Follower:
    """Makes changes of instances of changes of pods."""

    def __init__(
        self, discovery: Discovery, on_change: Callable[[InstanceChange], None], clock: Callable[[], int]
    ) -> None:
        self._discovery = discovery
        self._on_change = on_change
        self._clock = clock

    def pod_changed(self, before: Pod | None, pod: Pod, is_last: bool) -> None:
        service = self._discovery.service(pod)
        self._discovery.hold(pod, is_last=is_last)
        for change in changes(before, pod, service, is_last=is_last, now_us=self._clock()):
            self._on_change(change)


def changes(
    before: Pod | None, pod: Pod, service: str, *, is_last: bool, now_us: int
) -> Iterator[InstanceChange]:
    """That an instance was started or has ended, told by what was known of its pod and what is known now."""
    was_up = before is not None and before.is_up
    is_up = pod.is_up and not is_last
    is_another = before is not None and (before.uid, before.started_at_us) != (pod.uid, pod.started_at_us)
    if was_up and before is not None and (not is_up or is_another):
        # A pod that was there when nobody looked any more has left no end.
        ended_us = max(pod.ended_at_us, before.started_at_us) if pod.ended_at_us else now_us
        down = instance_of(before, service, is_up=False, ended_at_us=ended_us)
        yield InstanceChange(instance=down, state="down", at_us=ended_us)
    if is_up and (not was_up or is_another):
        yield InstanceChange(instance=instance_of(pod, service), state="up", at_us=pod.started_at_us)


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"
