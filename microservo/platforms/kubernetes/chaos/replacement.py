"""Which pod serves in place of one that was killed.

Instants of the API are whole seconds, so none of them tells a replacement from a pod that was made, or a
container that was started, in the second of the kill. What was there before is therefore written down on the
object that kills, where whoever awaits the replacement finds it again after a restart of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from microservo.platforms.kubernetes.chaos.experiment import OWNER_ANNOTATION, POD_ANNOTATION
from microservo.platforms.kubernetes.chaos.instants import SECOND_US, Instant, of_second
from microservo.platforms.kubernetes.pods import Pod

SIBLINGS_ANNOTATION = "microservo.io/sibling-uids"
"""Other pods of the same owner before the kill, with commas between them."""
RESTARTS_ANNOTATION = "microservo.io/restarts"
"""How often containers of the pod had been restarted before the kill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A pod that is killed, and what its owner has beside it before that.

    Attributes:
        uid: its uid.
        owner_uid: what makes another one when it is gone; empty for nothing.
        restarts: how often its containers have been restarted.
        siblings: uids of the other pods of its owner.
    """

    uid: str
    owner_uid: str
    restarts: int
    siblings: frozenset[str]

    @classmethod
    def of(cls, pod: Pod, pods: Iterable[Pod]) -> Killed:
        """A pod that is about to be killed, of all those there are."""
        others = (each for each in pods if each.uid != pod.uid)
        siblings = frozenset(each.uid for each in others if pod.owner.uid and each.owner == pod.owner)
        return cls(uid=pod.uid, owner_uid=pod.owner.uid, restarts=pod.restarts, siblings=siblings)

    @classmethod
    def seen_late(cls, pod: Pod, pods: Iterable[Pod], applied: Instant) -> Killed:
        """A pod that was killed before anybody looked, as far as the seconds of the API tell.

        What was started in the second of the kill, or later, came after it.
        """
        since_us = applied.at_us - applied.at_us % SECOND_US
        there = [each for each in pods if each.started_at_us < since_us]
        killed = cls.of(pod, there)
        # One of its name, or a container of it, that is there since then is what came in its place.
        return killed if pod.started_at_us < since_us else replace(killed, restarts=killed.restarts - 1)

    @classmethod
    def read(cls, annotations: Mapping[str, str]) -> Killed:
        """What the object that kills it says."""
        return cls(
            uid=annotations[POD_ANNOTATION],
            owner_uid=annotations[OWNER_ANNOTATION],
            restarts=int(annotations[RESTARTS_ANNOTATION]),
            siblings=frozenset(filter(None, annotations[SIBLINGS_ANNOTATION].split(","))),
        )

    def annotations(self) -> dict[str, str]:
        """What the object that kills it says, beside what each object does."""
        return {
            SIBLINGS_ANNOTATION: ",".join(sorted(self.siblings)),
            RESTARTS_ANNOTATION: str(self.restarts),
        }

    def is_replaced_by(self, pod: Pod) -> bool:
        """Whether a pod serves in its place: another one of its owner, or itself with a new container."""
        if not (pod.is_up and pod.is_ready):
            return False
        if pod.uid == self.uid:
            return pod.restarts > self.restarts
        is_of_owner = bool(self.owner_uid) and pod.owner.uid == self.owner_uid
        return is_of_owner and pod.uid not in self.siblings

    def is_gone_for_good(self, pods: Iterable[Pod]) -> bool:
        """Whether it is none of these pods, and nothing makes another one."""
        return not self.owner_uid and all(pod.uid != self.uid for pod in pods)


class Replacements:
    """Gives each pod that was killed a replacement of its own. Several threads may ask."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, int], str] = {}
        """Names of kills by the uid of the pod that came instead, and how often it has been restarted."""
        self._lock = threading.Lock()

    def end(
        self, name: str, killed: Killed, applied: Instant, pods: Sequence[Pod], *, seen_us: int
    ) -> tuple[Instant, str] | None:
        """When a kill was over, and what says so; None as long as it is not.

        Args:
            name: of the kill, another one for each.
            killed: what was killed.
            applied: when.
            pods: those there are.
            seen_us: when they were seen, epoch microseconds UTC.
        """
        pod = self.find(name, killed, pods)
        if pod is not None:
            ready = of_second(pod.ready_at_us, since_us=applied.at_us, seen_us=seen_us)
            return ready, f"{pod.id} is ready"
        return (applied, "nothing makes another pod") if killed.is_gone_for_good(pods) else None

    def find(self, name: str, killed: Killed, pods: Iterable[Pod]) -> Pod | None:
        """The pod that was ready first in place of what the kill of this name hit; None for none yet."""
        with self._lock:
            for pod in sorted(pods, key=lambda pod: pod.ready_at_us):
                if killed.is_replaced_by(pod):
                    key = (pod.uid, pod.restarts)
                    if self._taken.setdefault(key, name) == name:
                        return pod
        return None
