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

    def replaced_by(self, pods: Sequence[Pod]) -> list[Pod]:
        """Those of all pods that may serve in its place, the one that was ready first before the others.

        As long as the pod itself stays, only a new container of its own can: another pod of its owner came
        for another reason, such as a kill beside it.
        """
        stays = any(pod.uid == self.uid and not pod.is_terminating for pod in pods)
        may = self._is_restarted if stays else self._is_another
        serving = (pod for pod in pods if pod.is_up and pod.is_ready and may(pod))
        return sorted(serving, key=lambda pod: pod.ready_at_us)

    def _is_restarted(self, pod: Pod) -> bool:
        return pod.uid == self.uid and pod.restarts > self.restarts

    def _is_another(self, pod: Pod) -> bool:
        is_of_owner = bool(self.owner_uid) and pod.owner.uid == self.owner_uid
        return is_of_owner and pod.uid != self.uid and pod.uid not in self.siblings

    def is_gone_for_good(self, pods: Iterable[Pod]) -> bool:
        """Whether it is none of these pods, and nothing makes another one."""
        return not self.owner_uid and all(pod.uid != self.uid for pod in pods)


_Kill = tuple[str, Killed]


class Replacements:
    """Gives each pod that was killed a replacement of its own. Several threads may ask.

    Which of several new pods of an owner came for which kill, nothing tells. One that a kill was given is
    therefore left to another kill that can have no other, once there is one more for the first::

        a killed, new-1 made, b killed, new-2 made, new-2 ready      a is over: by new-2
        new-1 ready, which was there before b was killed             b is over: new-2 came for b, new-1 for a
    """

    def __init__(self) -> None:
        self._given: dict[tuple[str, int], _Kill] = {}
        """Kills by the uid of the pod that came instead, and how often it has been restarted."""
        self._over: dict[_Kill, Pod] = {}
        """The pods with which kills were over."""
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
        pod = self.find(name, killed, pods, applied_us=applied.at_us)
        if pod is not None:
            # A container may be back before anybody has seen that its pod was not ready.
            ready_at_us = max(pod.ready_at_us, pod.started_at_us)
            ready = of_second(ready_at_us, since_us=applied.at_us, seen_us=seen_us)
            return ready, f"{pod.id} is ready"
        return (applied, "nothing makes another pod") if killed.is_gone_for_good(pods) else None

    def find(self, name: str, killed: Killed, pods: Sequence[Pod], *, applied_us: int = 0) -> Pod | None:
        """The pod with which the kill of this name was over; None for none yet.

        Args:
            name: of the kill.
            killed: what was killed.
            pods: those there are.
            applied_us: when it was killed, epoch microseconds UTC: for a pod that was ready before that, no
                other kill gives up its own.
        """
        kill = (name, killed)
        with self._lock:
            if kill not in self._over:
                since_us = applied_us - applied_us % SECOND_US
                pod = self._give(kill, pods, since_us, set())
                if pod is None:
                    return None
                self._over[kill] = pod
            return self._over[kill]

    def _give(
        self, kill: _Kill, pods: Sequence[Pod], since_us: int, asked: set[tuple[str, int]]
    ) -> Pod | None:
        """Gives a kill a pod, if need be one that another kill can spare; the pod that was free before."""
        may_have = {(pod.uid, pod.restarts): pod for pod in kill[1].replaced_by(pods)}
        for key, pod in may_have.items():
            if key not in self._given and (not asked or pod.ready_at_us >= since_us):
                self._given[key] = kill
                return pod
        for key in may_have:
            if key not in self._given or key in asked:
                continue
            asked.add(key)
            free = self._give(self._given[key], pods, since_us, asked)
            if free is not None:
                self._given[key] = kill
                return free
        return None
