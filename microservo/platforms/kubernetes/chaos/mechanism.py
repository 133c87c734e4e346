"""The mechanism of faults that Chaos Mesh carries: one object of its for each fault and pod.

::

    apply    pod? ─► dry run ─► create ─► watch: selected within 10 s, injected ─► instants
    recover  delete ─► watch: gone, with its last state ─► instants
             of a kill: watch pods until another one is ready, then delete
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from microservo.domain.faults.base import Fault, Wire
from microservo.domain.faults.kinds.pod_kill import PodKill
from microservo.domain.faults.kinds.process_kill import ProcessKill
from microservo.domain.remembered import Remembered
from microservo.errors import InvalidInput, Retryable
from microservo.platforms.absent import absent
from microservo.platforms.kubernetes.api import Json
from microservo.platforms.kubernetes.chaos.awaited import last_cycles
from microservo.platforms.kubernetes.chaos.ending import ChaosEnding, fault_id_of
from microservo.platforms.kubernetes.chaos.experiment import (
    POD_ANNOTATION,
    Experiment,
    instance_label,
    manifest,
    name_of,
)
from microservo.platforms.kubernetes.chaos.instants import Instant
from microservo.platforms.kubernetes.chaos.manifests import OBJECTS, experiment_of, fault_of
from microservo.platforms.kubernetes.chaos.objects import ChaosObjects
from microservo.platforms.kubernetes.chaos.replacement import Killed, Replacements
from microservo.platforms.kubernetes.chaos.status import ChaosStatus, status_of
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.kubernetes.pods import Pod
from microservo.platforms.mechanism import Confirmation, Owned
from microservo.retry import retry

_LOOK_S = 0.05
_KILLS = (PodKill, ProcessKill)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long Chaos Mesh is waited for, in seconds.

    Attributes:
        selected: it finds the pod, or never will.
        injected: it has put the fault in force.
        recovered: one attempt to end it; after that it is said what hinders it, and asked again.
        replaced: one look for the pod that replaces one that was killed.
    """

    selected: float = 10.0
    injected: float = 30.0
    recovered: float = 15.0
    replaced: float = 2.0


class ChaosMesh:
    """`Mechanism` by objects of Chaos Mesh.

    Args:
        objects: those of the cluster.
        discovery: its pods.
        clock: epoch microseconds UTC.
        replacements: of all that is killed on the cluster, whoever killed it.
        patience: how long to wait.
    """

    name = "chaos-mesh"

    def __init__(
        self,
        objects: ChaosObjects,
        discovery: Discovery,
        clock: Callable[[], int],
        *,
        replacements: Replacements,
        patience: Patience | None = None,
    ) -> None:
        self._objects = objects
        self._discovery = discovery
        self._clock = clock
        self._patience = patience or Patience()
        self._ending = ChaosEnding(objects, discovery, clock, self._patience.recovered)
        self._applied = Remembered[tuple[str, str], Confirmation]()
        self._recovered = Remembered[tuple[str, str], Confirmation]()
        self._replacements = replacements

    def apply(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        fault, name = fault_of(wire), name_of(fault_id, instance)
        key = (wire[0], name)
        known = self._applied.get(key)
        if known is not None and (fault.one_shot or self.holds(instance, fault_id, wire)):
            return known
        pod = self._discovery.pod(instance)
        if pod is None:
            raise absent(instance)
        asked_us = self._clock()
        # An id may be used again, and what comes to nothing now has to be ended, too.
        self._recovered.forget(key)
        self._make(fault, pod, fault_id)
        confirmed = self._injected(pod, OBJECTS[fault.kind], name, asked_us)
        self._applied[key] = confirmed
        return confirmed

    def recover(self, instance: str, fault_id: str, wire: Wire) -> Confirmation:
        fault, name = fault_of(wire), name_of(fault_id, instance)
        key = (wire[0], name)
        confirmed = self._recovered.get(key)
        if confirmed is None:
            place = (instance.partition("/")[0], OBJECTS[fault.kind], name)
            replaced = self._replaced(*place) if isinstance(fault, _KILLS) else None
            # What says that it was killed stays until it is known when it was replaced.
            ended = self._ending.end(*place)
            confirmed = replaced or ended
            self._recovered[key] = confirmed
            self._applied.forget(key)
        return confirmed

    def holds(self, instance: str, fault_id: str, wire: Wire) -> bool:
        found = self._find(instance, fault_id, wire[0])
        if found is None or not status_of(found).is_in_force:
            return False
        pod = self._discovery.pod(instance)
        return pod is None or isinstance(fault_of(wire), _KILLS) or not _is_left_over(found, pod)

    def acted(self, instance: str, fault_id: str, wire: Wire) -> int | None:
        return None

    def release_unowned(self, instance: str, owned: Owned) -> list[str]:
        namespace, _, name = instance.partition("/")
        if not name:
            return []
        found = self._objects.ours(namespace, instance_label(instance))
        known = owned()
        unowned = [each for each in found if fault_id_of(each) not in known]
        for each in unowned:
            self._ending.end(namespace, each["kind"], each["metadata"]["name"])
        return [f"{each['kind']} of fault {fault_id_of(each)}" for each in unowned]

    def force(self, instance: str, fault_id: str, kind: str) -> None:
        """Gives up a recovery that is stuck: its object goes, and the fault may stay in force.

        Raises:
            InvalidInput: there is nothing to give up, or nothing is to be ended yet.
        """
        found = self._find(instance, fault_id, kind)
        if found is not None and "deletionTimestamp" not in found["metadata"]:
            msg = f"{fault_id} is not being ended on {instance}; first microservo fault stop {fault_id}"
            raise InvalidInput(msg)
        self._objects.force(instance.partition("/")[0], OBJECTS[kind], name_of(fault_id, instance))

    def _find(self, instance: str, fault_id: str, kind: str) -> Json | None:
        namespace, _, pod_name = instance.partition("/")
        if not pod_name:
            return None
        return self._objects.get(namespace, OBJECTS[kind], name_of(fault_id, instance))

    def _make(self, fault: Fault, pod: Pod, fault_id: str) -> None:
        if pod.phase != "Running":
            msg = (
                f"{pod.id} is {pod.phase}, and Chaos Mesh selects pods that are Running; try again when it is"
            )
            raise InvalidInput(msg)
        experiment = experiment_of(fault, pod)
        peers = self._peers(experiment, pod)
        body = manifest(experiment, fault_id=fault_id, pod=pod, peers=peers)
        if isinstance(fault, _KILLS):
            killed = Killed.of(pod, self._discovery.listed())
            body["metadata"]["annotations"] |= killed.annotations()
        if self._objects.create(body) or isinstance(fault, _KILLS):
            return
        place = (pod.namespace, body["kind"], body["metadata"]["name"])
        found = self._objects.get(*place)
        if found is None or _is_left_over(found, pod):
            self._ending.end(*place)
            self._objects.create(body)

    def _peers(self, experiment: Experiment, pod: Pod) -> list[Pod]:
        if not experiment.peer:
            return []
        pods = {each: self._discovery.service(each) for each in self._discovery.pods()}
        found = [each for each, service in pods.items() if service == experiment.peer and each != pod]
        if not found:
            services = ", ".join(sorted(set(pods.values())))
            msg = f"there is no service {experiment.peer!r} with pods; choose a peer of {services}"
            raise InvalidInput(msg)
        return found

    def _injected(self, pod: Pod, kind: str, name: str, asked_us: int) -> Confirmation:
        """Waits until an object is in force; one that can't be is removed.

        Raises:
            InvalidInput: it can't be, and why.
        """
        patience, place = self._patience, (pod.namespace, kind, name)
        found = self._awaited(place, lambda status: status.selected, patience.selected)
        if found is None:
            problem = (
                f"it selected no pod within {patience.selected:g} s; is chaos-controller-manager running?"
            )
        else:
            # What selects often injects in the same step; to ask once more would make the label later.
            if not status_of(found).is_injected:
                found = self._awaited(place, lambda status: status.is_injected, patience.injected)
            if found is not None:
                return self._in_force(found, asked_us)
            problem = f"it was not injected within {patience.injected:g} s"
        last = self._objects.get(*place)
        said = (last and status_of(last).failure) or self._objects.complaint(pod.namespace, name)
        # That it has gone is awaited by the recovery of what could not be applied.
        self._objects.delete(*place)
        msg = f"Chaos Mesh did not put {kind} in force on {pod.id}: {said or problem}"
        raise InvalidInput(msg)

    def _awaited(
        self, place: tuple[str, str, str], check: Callable[[ChaosStatus], bool], seconds: float
    ) -> Json | None:
        """The object in the first state that passes; None if none did in time."""
        for found in self._objects.follow(*place, seconds=seconds):
            if found is not None and check(status_of(found)):
                return found
        return None

    def _in_force(self, found: Json, asked_us: int) -> Confirmation:
        seen_us, metadata = self._clock(), found["metadata"]
        carriers = status_of(found).carriers
        found_cycles = last_cycles(self._objects, found, "Apply", asked_us=asked_us, seen_us=seen_us)
        applied = [each.applied for each in found_cycles]
        first = min(applied, key=lambda instant: instant.at_us)
        evidence = f"{found['kind']} {metadata['name']} is injected into {', '.join(r.id for r in carriers)}"
        return Confirmation(at_us=first.at_us, within_us=first.within_us, evidence=evidence)

    def _replaced(self, namespace: str, kind: str, name: str) -> Confirmation | None:
        """When something else served in place of what was killed; None if it is not known what was.

        Raises:
            Retryable: not yet.
        """
        found = self._objects.get(namespace, kind, name)
        if found is None or not status_of(found).is_injected:
            return None
        applied = last_cycles(self._objects, found, "Apply")[-1].applied
        killed = Killed.read(found["metadata"]["annotations"])
        return retry(
            lambda: self._replacement(name, killed, applied),
            timeout_s=self._patience.replaced,
            first_pause_s=_LOOK_S,
            longest_pause_s=_LOOK_S,
        )

    def _replacement(self, name: str, killed: Killed, applied: Instant) -> Confirmation:
        pods = self._discovery.pods()
        ended = self._replacements.end(name, killed, applied, pods, seen_us=self._clock())
        if ended is None:
            msg = f"nothing is ready yet in place of what {name} killed; waiting"
            raise Retryable(msg)
        at, evidence = ended
        return Confirmation(at_us=at.at_us, within_us=at.within_us, evidence=evidence)


def _is_left_over(found: Json, pod: Pod) -> bool:
    """Whether an object is being ended, or is of an earlier pod of a name that a StatefulSet uses again.

    Chaos Mesh selects once: its record goes on to say Injected, and the pod in its place has no fault.
    """
    metadata = found["metadata"]
    known = (metadata.get("annotations") or {}).get(POD_ANNOTATION)
    return "deletionTimestamp" in metadata or known != pod.uid
