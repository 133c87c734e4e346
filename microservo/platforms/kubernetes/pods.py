"""What is kept of a pod: to which service it belongs, whether it runs, since when; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any

from microservo.domain.faults.targets import Labels
from microservo.platforms.kubernetes.api import Json
from microservo.platforms.platform import Instance

SERVICE_ANNOTATION = "resource.opentelemetry.io/service.name"
"""What the operator of OpenTelemetry gives a pod's telemetry as its service's name."""
_MAIN_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What a pod, or another owner, belongs to; `uid` is empty for none."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod; instants in epoch microseconds UTC, of whole seconds as the kubelet writes them.

    Attributes:
        service: as its annotation names it; empty without one.
        containers: names, that which is meant by default first.
        port: the first that the first of these says it listens on; 0 for none.
        phase: for example Running.
        is_up: each container runs, and it is not being deleted.
        is_terminating: its deletion was asked for.
        is_ready: it gets requests.
        restarts: how often its containers have been restarted.
        started_at_us: when its youngest container was started; 0 if one never was.
        ended_at_us: when its deletion was asked for, or a container ended last; 0 for neither.
        ready_at_us: since when it is ready or isn't.
        labels: its labels.
    """

    namespace: str
    name: str
    uid: str
    service: str
    owner: Owner
    node: str
    containers: tuple[str, ...]
    port: int
    phase: str
    is_up: bool
    is_ready: bool
    restarts: int
    started_at_us: int
    ended_at_us: int
    ready_at_us: int
    labels: Labels = field(default_factory=dict, hash=False)
    is_terminating: bool = False

    @property
    def id(self) -> str:
        """As instances are named, and as Chaos Mesh names what it acts on."""
        return f"{self.namespace}/{self.name}"


def pod_of(found: Json) -> Pod:
    """What is kept of a pod of the API: of texts that many pods have, one for all of them."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status", {})
    annotations = metadata.get("annotations") or {}
    containers = _containers(spec["containers"], annotations.get(_MAIN_CONTAINER, ""))
    states = status.get("containerStatuses") or []
    running = [each["state"]["running"] for each in states if "running" in each.get("state", {})]
    phase = status.get("phase", "Pending")
    ready: Json = next((each for each in status.get("conditions") or [] if each["type"] == "Ready"), {})
    return Pod(
        namespace=intern(metadata["namespace"]),
        name=metadata["name"],
        uid=metadata["uid"],
        service=intern(annotations.get(SERVICE_ANNOTATION, "")),
        owner=controller_of(metadata),
        node=intern(spec.get("nodeName", "")),
        containers=tuple(intern(each["name"]) for each in containers),
        port=next((port["containerPort"] for port in containers[0].get("ports") or []), 0),
        phase=intern(phase),
        is_up=(
            phase == "Running"
            and len(running) == len(containers)
            and metadata.get("deletionTimestamp") is None
        ),
        is_ready=ready.get("status") == "True",
        restarts=sum(each.get("restartCount", 0) for each in states),
        started_at_us=max((instant_us(each.get("startedAt")) for each in running), default=0),
        ended_at_us=_deleted_us(metadata) or max((_ended_us(each) for each in states), default=0),
        ready_at_us=instant_us(ready.get("lastTransitionTime")),
        is_terminating=metadata.get("deletionTimestamp") is not None,
        labels={intern(name): intern(value) for name, value in (metadata.get("labels") or {}).items()},
    )


def controller_of(metadata: Json) -> Owner:
    """The owner that manages an object; an empty one where nothing does."""
    for each in metadata.get("ownerReferences") or ():
        if each.get("controller"):
            return Owner(
                kind=intern(each["kind"]),
                name=intern(each["name"]),
                uid=intern(each["uid"]),
                api_version=intern(each["apiVersion"]),
            )
    return Owner()


def instant_us(text: str | None) -> int:
    """Epoch microseconds of an instant as the API writes it; 0 for none.

    Example:
        >>> instant_us("2026-01-02T03:04:05Z")
        1767323045000000
    """
    return round(datetime.fromisoformat(text).timestamp() * 1e6) if text else 0


def instance_of(pod: Pod, service: str, *, is_up: bool | None = None, ended_at_us: int = 0) -> Instance:
    """The pod as others know it."""
    return Instance(
        id=pod.id,
        service=service,
        is_up=pod.is_up if is_up is None else is_up,
        started_at_us=pod.started_at_us,
        host=pod.node,
        ended_at_us=ended_at_us or pod.ended_at_us,
        labels=pod.labels,
    )


def _containers(containers: Iterable[Json], main: str) -> list[Json]:
    return sorted(containers, key=lambda each: each["name"] != main)


def _ended_us(state: dict[str, Any]) -> int:
    ends = (state.get(which, {}).get("terminated") or {} for which in ("state", "lastState"))
    return max(instant_us(each.get("finishedAt")) for each in ends)


def _deleted_us(metadata: Json) -> int:
    grace_us = 1_000_000 * (metadata.get("deletionGracePeriodSeconds") or 0)
    asked_us = instant_us(metadata.get("deletionTimestamp"))
    return asked_us and asked_us - grace_us
