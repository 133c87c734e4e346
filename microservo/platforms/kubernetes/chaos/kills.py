"""When kills that others made are over: when something is ready in place of what they hit.

An object that kills stays as long as somebody keeps it, and a Schedule keeps as many as its history is long;
neither says anything of the pod that came instead.
"""

from __future__ import annotations

from collections.abc import Callable

from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.chaos.instants import Instant
from microservo.platforms.kubernetes.chaos.others import is_kill
from microservo.platforms.kubernetes.chaos.replacement import Killed, Replacements
from microservo.platforms.kubernetes.chaos.status import status_of
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.kubernetes.pods import Pod


class KillsOfOthers:
    """The kills of others that are not over; belongs to who calls it from one thread at a time.

    Args:
        discovery: the pods of the target.
        clock: epoch microseconds UTC.
        replacements: of all that is killed on the cluster, whoever killed it.
    """

    def __init__(self, discovery: Discovery, clock: Callable[[], int], replacements: Replacements) -> None:
        self._discovery = discovery
        self._clock = clock
        self._before: dict[str, tuple[Pod, ...]] = {}
        """The pods there were before an object did anything, by its uid."""
        self._killed: dict[tuple[str, str], Killed] = {}
        """What was killed, by the uid of the object and the id of its record."""
        self._ended: dict[tuple[str, str], Instant] = {}
        """When that was over, likewise: what came instead may be unready later, which is no part of it."""
        self._replacements = replacements

    def noticed(self, found: Json) -> None:
        """Remembers what pods there are if an object has killed none yet; raises as `KubernetesApi.get`."""
        uid = found["metadata"]["uid"]
        if is_kill(found) and uid not in self._before and not status_of(found).is_in_force:
            self._before[uid] = tuple(self._discovery.pods())

    def ended(self, found: Json, record: str, applied: Instant) -> Instant | None:
        """When something was ready in place of what a record says was killed; raises as `noticed`."""
        uid, pods = found["metadata"]["uid"], self._discovery.pods()
        key, name = (uid, record), f"{uid} {record}"
        if key not in self._killed:
            killed = self._hit(uid, record, applied, pods)
            if killed is None:
                return None
            self._killed[key] = killed
        if key not in self._ended:
            ended = self._replacements.end(name, self._killed[key], applied, pods, seen_us=self._clock())
            if ended is None:
                return None
            self._ended[key] = ended[0]
        return self._ended[key]

    def may_end_with(self, found: Json, instance: str) -> bool:
        """Whether a pod that has changed may be what an object's kill waits for; raises as `noticed`."""
        pod = self._discovery.known(instance)
        uid = found["metadata"]["uid"]
        owners = {killed.owner_uid for (of, _), killed in self._killed.items() if of == uid}
        return pod is not None and pod.is_ready and pod.owner.uid in owners

    def forget(self, found: Json) -> None:
        """Drops what is known of an object, whose kills are over."""
        uid = found["metadata"]["uid"]
        self._before.pop(uid, None)
        for known in (self._killed, self._ended):
            for key in [key for key in known if key[0] == uid]:
                del known[key]

    def _hit(self, uid: str, record: str, applied: Instant, pods: list[Pod]) -> Killed | None:
        instance = "/".join(record.split("/")[:2])
        before = self._before.get(uid, ())
        for pod in before:
            if pod.id == instance:
                return Killed.of(pod, before)
        late = self._discovery.known(instance)
        return None if late is None else Killed.seen_late(late, pods, applied)
