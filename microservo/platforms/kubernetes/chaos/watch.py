"""Follows what others do with Chaos Mesh in some namespaces, and says what is to be declared of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from microservo.errors import MicroServoError, Retryable
from microservo.platforms.kubernetes.api import Json, KubernetesApi
from microservo.platforms.kubernetes.chaos.experiment import PLURALS, collection
from microservo.platforms.kubernetes.chaos.instants import SECOND_US, CoreEvent, Instant, is_exact
from microservo.platforms.kubernetes.chaos.kills import KillsOfOthers
from microservo.platforms.kubernetes.chaos.objects import ChaosObjects
from microservo.platforms.kubernetes.chaos.others import is_id_of_others, is_kill, is_ours, requests_of
from microservo.platforms.kubernetes.chaos.replacement import Replacements
from microservo.platforms.kubernetes.chaos.status import status_of
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.kubernetes.reflector import Reflector
from microservo.retry import retry
from schemas.records import FaultRequest

logger = logging.getLogger(__name__)

OnRequest = Callable[[FaultRequest], None]

_EVENT_S = 0.5
"""How long the core Event of what was just done is waited for, which has its instant exactly."""
_LOOK_S = 0.05
_FRESH_US = 10 * SECOND_US
"""What was done longer ago has the core Event that it will ever have."""
_SPREAD_S = 2.0
"""How long an object that is in force on some of its pods may take for the others, before it is declared."""


class OthersFaults:
    """What others have in force on the target.

    Args:
        api: the cluster.
        namespaces: where their objects are looked for.
        objects: those of the cluster.
        discovery: its pods.
        clock: epoch microseconds UTC.
        replacements: of all that is killed on the cluster, whoever killed it.
    """

    def __init__(
        self,
        api: KubernetesApi,
        namespaces: Sequence[str],
        objects: ChaosObjects,
        discovery: Discovery,
        clock: Callable[[], int],
        *,
        replacements: Replacements,
    ) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)
        self._objects = objects
        self._discovery = discovery
        self._clock = clock
        self._replacements = replacements

    @contextmanager
    def following(self, on_request: OnRequest, left: Mapping[str, str]) -> Iterator[None]:
        """Calls `on_request` with each declaration, once, from threads of this, while the context lasts.

        Args:
            on_request: gets them.
            left: ids of faults that were declared earlier, with namespace and name of their objects.
        """
        places = [
            (namespace, kind)
            for namespace in self._namespaces
            for kind in PLURALS
            if kind in self._objects.kinds()
        ]
        kills = KillsOfOthers(self._discovery, self._clock, self._replacements)
        seen = _Seen(
            self._objects,
            self._discovery,
            kills,
            self._clock,
            on_request,
            left=left,
            unlisted=set(places),
        )
        reflectors = [
            Reflector(
                self._api,
                collection(namespace, kind),
                kept=lambda found, kind=kind: {**found, "kind": kind},  # type: ignore[misc]
                on_change=seen.changed,
                on_listed=lambda namespace=namespace, kind=kind: seen.listed(namespace, kind),  # type: ignore[misc]
            )
            for namespace, kind in places
        ]
        with self._discovery.telling_changes(seen.pod_changed):
            for reflector in reflectors:
                reflector.start()
            try:
                yield
            finally:
                for reflector in reflectors:
                    reflector.stop()
                seen.close()


@dataclass
class _Object:
    """One object of others.

    Attributes:
        found: in its newest state.
        told: ids and actions of what was declared of it.
        gone_us: when it was gone; None while it is there.
        timer: declares it although it has not spread to all of its pods; None where it has.
    """

    found: Json
    told: set[tuple[str, str]] = field(default_factory=set)
    gone_us: int | None = None
    timer: threading.Timer | None = None

    @property
    def is_open(self) -> bool:
        """Whether something was declared of it whose end was not."""
        return bool(self._open())

    def lost(self, requests: Sequence[FaultRequest]) -> Iterator[FaultRequest]:
        """The ends of what was declared and of which it says nothing any more, now that it is gone.

        Its records keep their last hundred attempts: an end that fails so often pushes out the rest.
        """
        if self.gone_us is None:
            return
        known = {each.fault_id for each in requests}
        for fault_id in sorted(self._open() - known):
            yield _end_of(fault_id, self.gone_us, SECOND_US, f"the end of {_place(self.found)}")

    def _open(self) -> set[str]:
        ended = {fault_id for fault_id, action in self.told if action == "stop"}
        return {fault_id for fault_id, _ in self.told} - ended


class _Seen:
    """Says what is to be declared of objects, once each, when they or the pods that they act on change."""

    def __init__(
        self,
        objects: ChaosObjects,
        discovery: Discovery,
        kills: KillsOfOthers,
        clock: Callable[[], int],
        on_request: OnRequest,
        *,
        left: Mapping[str, str],
        unlisted: set[tuple[str, str]],
    ) -> None:
        self._chaos = objects
        self._discovery = discovery
        self._clock = clock
        self._on_request = on_request
        self._kills = kills
        self._objects: dict[str, _Object] = {}
        self._left = {fault_id: place for fault_id, place in left.items() if is_id_of_others(fault_id)}
        self._unlisted = unlisted
        self._lock = threading.Lock()

    def listed(self, namespace: str, kind: str) -> None:
        """Is told that all objects of a kind in a namespace were told; raises as `changed`."""
        with self._lock:
            self._unlisted.discard((namespace, kind))
            if not self._unlisted:
                self._end_what_is_gone()

    def changed(self, _before: Json | None, found: Json, is_last: bool) -> None:
        """Is told of a change of an object; raises as `KubernetesApi.get`, and is told again then."""
        if is_ours(found):
            return
        with self._lock:
            self._kills.noticed(found)
            seen = self._objects.setdefault(found["metadata"]["uid"], _Object(found))
            seen.found = found
            if is_last and seen.gone_us is None:
                seen.gone_us = self._clock()
            if not is_last and status_of(found).is_spreading:
                self._wait_for_the_rest(seen)
            elif is_last or status_of(found).records:
                self._tell(seen, self._awaited_events(found))

    def pod_changed(self, instance: str) -> None:
        """Is told of the id of a pod that has changed, or is gone; raises as `changed`."""
        with self._lock:
            for seen in [each for each in self._objects.values() if each.is_open and each.timer is None]:
                if self._concerns(seen.found, instance):
                    self._tell(seen, self._events(seen.found))

    def close(self) -> None:
        """Declares nothing any more."""
        with self._lock:
            for seen in self._objects.values():
                self._stop_waiting(seen)

    def _concerns(self, found: Json, instance: str) -> bool:
        if any(record.instance == instance for record in status_of(found).carriers):
            return True
        return is_kill(found) and self._kills.may_end_with(found, instance)

    def _wait_for_the_rest(self, seen: _Object) -> None:
        if seen.timer is None:
            seen.timer = threading.Timer(_SPREAD_S, self._waited, [seen])
            seen.timer.daemon = True
            seen.timer.start()

    def _waited(self, seen: _Object) -> None:
        with self._lock:
            if seen.timer is None:
                return
            try:
                self._tell(seen, self._events(seen.found))
            except MicroServoError as error:
                logger.warning("%s can't be declared now: %s", _place(seen.found), error)
                self._stop_waiting(seen)
                self._wait_for_the_rest(seen)

    def _stop_waiting(self, seen: _Object) -> None:
        if seen.timer is not None:
            seen.timer.cancel()
            seen.timer = None

    def _tell(self, seen: _Object, events: Sequence[CoreEvent]) -> None:
        requests = list(
            requests_of(
                seen.found,
                events,
                self._service,
                gone_us=seen.gone_us,
                ended_of=lambda record, applied: self._ended(seen.found, record, applied),
            )
        )
        self._stop_waiting(seen)
        for request in (*requests, *seen.lost(requests)):
            self._left.pop(request.fault_id, None)
            key = (request.fault_id, request.action)
            if key not in seen.told:
                seen.told.add(key)
                self._on_request(request)
        if not seen.is_open and seen.gone_us is not None:
            self._kills.forget(seen.found)
            self._objects.pop(seen.found["metadata"]["uid"], None)

    def _end_what_is_gone(self) -> None:
        """Declares the end of what was left: its object went, or its pods did, while nobody looked."""
        for fault_id, place in list(self._left.items()):
            namespace, _, name = place.partition("/")
            if any(each.timer for each in self._objects.values() if _place(each.found) == place):
                continue
            ends = [each for each in self._chaos.events(namespace, name) if each.operation == "Recover"]
            at_us = ends[-1].at_us if ends else self._clock()
            within_us = SECOND_US if ends else None
            self._on_request(_end_of(fault_id, at_us, within_us, f"the end of {place}, which nobody saw"))
            del self._left[fault_id]

    def _ended(self, found: Json, record: str, applied: Instant) -> Instant | None:
        if is_kill(found):
            return self._kills.ended(found, record, applied)
        gone_us = self._discovery.gone_us("/".join(record.split("/")[:2]))
        if gone_us is None:
            return None
        return Instant(at_us=max(gone_us, applied.at_us), within_us=SECOND_US)

    def _awaited_events(self, found: Json) -> Sequence[CoreEvent]:
        """The core Events: Chaos Mesh makes them beside the record, and they may come a moment after it."""

        def look() -> Sequence[CoreEvent]:
            events = self._events(found)
            if not all(is_exact(record, events) for record in status_of(found).carriers):
                msg = f"the events of {found['metadata']['name']} are not there yet"
                raise Retryable(msg)
            return events

        if not self._is_fresh(found):
            return self._events(found)
        try:
            return retry(look, timeout_s=_EVENT_S, first_pause_s=_LOOK_S, longest_pause_s=_LOOK_S)
        except Retryable:
            return self._events(found)

    def _is_fresh(self, found: Json) -> bool:
        done = [each.at_us for record in status_of(found).carriers for each in record.events]
        return bool(done) and abs(self._clock() - max(done)) < _FRESH_US

    def _events(self, found: Json) -> Sequence[CoreEvent]:
        metadata = found["metadata"]
        return self._chaos.events(metadata["namespace"], metadata["name"], metadata["uid"])

    def _service(self, instance: str) -> str | None:
        pod = self._discovery.known(instance)
        return None if pod is None else self._discovery.service(pod)


def _place(found: Json) -> str:
    metadata = found["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"


def _end_of(fault_id: str, at_us: int, within_us: int | None, requested_by: str) -> FaultRequest:
    return FaultRequest(
        fault_id=fault_id,
        action="stop",
        requested_at_us=at_us,
        end_at_us=at_us,
        within_us=within_us,
        requested_by=requested_by,
    )
