"""Ends objects of Chaos Mesh, and says when the fault was out of force.

::

    delete ─► watch: gone, with its last state ─► instants
              stuck: on pods that are gone ─► given up, over with the pod
                     on others             ─► what hinders it, and asked again later
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from microservo.errors import InvalidInput, Retryable
from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.chaos.awaited import last_cycles
from microservo.platforms.kubernetes.chaos.experiment import (
    FAULT_ANNOTATION,
    INSTANCE_LABEL,
    POD_ANNOTATION,
    instance_label,
)
from microservo.platforms.kubernetes.chaos.instants import SECOND_US, Instant, of_second
from microservo.platforms.kubernetes.chaos.objects import ChaosObjects
from microservo.platforms.kubernetes.chaos.status import status_of
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.mechanism import Confirmation

_RECOVERED = "Chaos Mesh has recovered {}"


class ChaosEnding:
    """Ends objects that we have made. Several threads may use it.

    Args:
        objects: those of the cluster.
        discovery: its pods.
        clock: epoch microseconds UTC.
        recovered_s: how long one attempt waits for Chaos Mesh, in seconds.
    """

    def __init__(
        self, objects: ChaosObjects, discovery: Discovery, clock: Callable[[], int], recovered_s: float
    ) -> None:
        self._objects = objects
        self._discovery = discovery
        self._clock = clock
        self._recovered_s = recovered_s

    def end(self, namespace: str, kind: str, name: str) -> Confirmation:
        """Ends an object, and returns when it has.

        Raises:
            Retryable: it has not yet; what hinders it.
        """
        ended_us, place = self._clock(), (namespace, kind, name)
        self._objects.delete(*place)
        last: Json | None = None
        for found in self._objects.follow(*place, seconds=self._recovered_s):
            if found is None:
                return self._out_of_force(namespace, name, last, ended_us)
            last = {"kind": kind, **found}
        assert last is not None
        if not self._waits_for_gone_pods(last):
            raise Retryable(self._stuck(last))
        # There is nothing to recover any more, and Chaos Mesh may wait for it for ever.
        with contextlib.suppress(InvalidInput):
            self._objects.force(*place)
        return self._out_of_force(namespace, name, last, ended_us)

    def _waits_for_gone_pods(self, last: Json) -> bool:
        """Whether all that an object's end waits for is on pods that there are no more."""
        left = [record.instance for record in status_of(last).records if not record.at_rest]
        return bool(left) and all(self._is_gone(instance, last) for instance in left)

    def _is_gone(self, instance: str, last: Json) -> bool:
        pod, metadata = self._discovery.pod(instance), last["metadata"]
        if pod is None:
            return True
        # A pod may have the name of the one that the fault was on; of peers only the name is known.
        if metadata["labels"].get(INSTANCE_LABEL) != instance_label(instance):
            return False
        return pod.uid != str(metadata["annotations"].get(POD_ANNOTATION))

    def _stuck(self, last: Json) -> str:
        """What hinders the end of an object, and what can be done."""
        status, metadata = status_of(last), last["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        stuck = ", ".join(each.id for each in status.records if not each.at_rest) or "no record"
        return (
            f"{last['kind']} {namespace}/{name} is stuck {self._recovered_s:g} s after its deletion: "
            f"still to be recovered: {stuck}; "
            f"{status.failure or self._objects.complaint(namespace, name) or 'no error'}. "
            "Delete the pod, which ends the fault, or restart it and give the object up: "
            f"microservo fault force {fault_id_of(last)}"
        )

    def _out_of_force(self, namespace: str, name: str, last: Json | None, ended_us: int) -> Confirmation:
        seen_us = self._clock()
        if last is None:
            # An earlier attempt, or somebody else, has ended it.
            ends = [each for each in self._objects.events(namespace, name) if each.operation == "Recover"]
            if not ends:
                return Confirmation(at_us=seen_us, evidence=f"{name} is gone; nothing recovered it")
            return Confirmation(at_us=ends[-1].at_us, within_us=SECOND_US, evidence=_RECOVERED.format(name))
        ends_of = last_cycles(self._objects, last, "Recover", ended_us=ended_us, seen_us=seen_us)
        instants = [each.recovered for each in ends_of if each.recovered is not None]
        if not ends_of:
            return Confirmation(at_us=seen_us, evidence=f"{name} was not in force")
        if not instants:
            gone_us = self._pod_ended_us(last)
            if gone_us is None:
                return Confirmation(at_us=seen_us, evidence=f"{name} was given up while it was injected")
            gone = of_second(gone_us)
            evidence = f"{name} was given up: its pod had ended"
            return Confirmation(at_us=gone.at_us, within_us=gone.within_us, evidence=evidence)
        at = self._clipped(max(instants, key=lambda instant: instant.at_us), last)
        return Confirmation(at_us=at.at_us, within_us=at.within_us, evidence=_RECOVERED.format(name))

    def _clipped(self, instant: Instant, last: Json) -> Instant:
        """No fault outlives its pod, though Chaos Mesh writes down its end later."""
        gone_us = self._pod_ended_us(last)
        if gone_us is None or gone_us >= instant.at_us:
            return instant
        return of_second(gone_us)

    def _pod_ended_us(self, found: Json) -> int | None:
        """When the pod of an object ended; None where the watch has not seen that."""
        return self._discovery.ended_us(found["metadata"]["annotations"].get(POD_ANNOTATION, ""))


def fault_id_of(found: Json) -> str:
    """The fault that an object was made for; empty where it does not say so."""
    return str((found["metadata"].get("annotations") or {}).get(FAULT_ANNOTATION, ""))
