"""What a cluster has, what each missing thing would add, and how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import product
from typing import TYPE_CHECKING

from microservo.application.command import Command, Context
from microservo.application.machine import Finding
from microservo.errors import MicroServoError

if TYPE_CHECKING:
    from microservo.platforms.kubernetes.api import KubernetesApi

_INSTALL = "docs/kubernetes.md says how it is installed"
_MOST_OFF_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckCluster(Command[tuple[Finding, ...]]):
    """Asks what a cluster has for a target in some namespaces.

    Attributes:
        namespaces: at least one.
        fault_namespaces: those in which others keep objects of Chaos Mesh, besides.
        context: in the kubeconfig; None for the current one.
    """

    namespaces: tuple[str, ...]
    fault_namespaces: tuple[str, ...] = ()
    context: str | None = None


def check_cluster(command: CheckCluster, context: Context) -> tuple[Finding, ...]:
    """What was found, in the order in which one needs another.

    Raises:
        InvalidInput: the client is not installed.
        Unavailable: the kubeconfig names no such cluster.
    """
    from microservo.platforms.target import kubernetes_api  # noqa: PLC0415  # loads the client

    api = kubernetes_api(command.context)
    try:
        return tuple(_findings(api, command, context))
    except MicroServoError as error:
        return (
            Finding(what="API server", found=str(error), fine=False, needed=True, advice="kubectl get pods"),
        )


def _findings(api: KubernetesApi, command: CheckCluster, context: Context) -> Iterator[Finding]:
    version = api.get("/version")["gitVersion"]
    yield Finding(what="API server", found=f"{version} at {api.server}", fine=True)
    yield _clock(api, context)
    yield from _permissions(api, command)
    yield from _kinds(api)
    yield _metrics(api)
    yield _pods(api, command)


def _clock(api: KubernetesApi, context: Context) -> Finding:
    before_s = context.clock() / 1e6
    server_s = parsedate_to_datetime(api.date()).timestamp()
    after_s = context.clock() / 1e6
    # The header has whole seconds, so that the server's time lies within the second that begins then.
    off_s = max(server_s - after_s, before_s - server_s - 1, 0)
    ahead = "ahead of" if server_s > after_s else "behind"
    return Finding(
        what="clock",
        found=f"the cluster is at least {off_s:.1f} s {ahead} this machine" if off_s else "within a second",
        fine=off_s < _MOST_OFF_S,
        advice="instants of faults are the cluster's: set both clocks by NTP",
    )


def _permissions(api: KubernetesApi, command: CheckCluster) -> Iterator[Finding]:
    from microservo.platforms.kubernetes.permissions import (  # noqa: PLC0415
        PERMISSIONS,
        TO_WATCH,
        lacking,
    )

    besides = [each for each in command.fault_namespaces if each not in command.namespaces]
    for namespaces, permissions in ((command.namespaces, PERMISSIONS), (besides, TO_WATCH)):
        refused = {
            (permission, namespace): verbs
            for permission, namespace, verbs in lacking(api, namespaces, permissions)
        }
        for namespace, permission in product(namespaces, permissions):
            verbs = refused.get((permission, namespace), "")
            yield Finding(
                what=f"may {permission} in {namespace}",
                found=f"refused: {verbs}" if verbs else "yes",
                fine=not verbs,
                needed=permission.is_needed,
                advice=f"{permission.purpose}; the Role of deploy/helm/microservo allows it",
            )


def _kinds(api: KubernetesApi) -> Iterator[Finding]:
    from microservo.platforms.kubernetes.chaos.experiment import API_VERSION, PLURALS  # noqa: PLC0415
    from microservo.platforms.kubernetes.chaos.objects import ChaosObjects  # noqa: PLC0415

    known = ChaosObjects(api).kinds()
    for kind in PLURALS:
        yield Finding(
            what=kind,
            found=API_VERSION if kind in known else "none",
            fine=kind in known,
            advice=f"its faults need Chaos Mesh 2.5 or later; {_INSTALL}",
        )


def _metrics(api: KubernetesApi) -> Finding:
    from microservo.platforms.kubernetes.meter import PATH  # noqa: PLC0415

    try:
        api.get(PATH)
    except MicroServoError:
        return Finding(
            what="metrics of pods",
            found="none",
            fine=False,
            advice=f"metrics-server measures them; {_INSTALL}",
        )
    return Finding(what="metrics of pods", found=PATH.removeprefix("/apis/"), fine=True)


def _pods(api: KubernetesApi, command: CheckCluster) -> Finding:
    from microservo.platforms.kubernetes.platform import KubernetesPlatform  # noqa: PLC0415
    from microservo.platforms.platform import services_of  # noqa: PLC0415

    try:
        services = services_of(KubernetesPlatform(api, command.namespaces))
    except MicroServoError as error:
        return Finding(
            what="target",
            found=str(error),
            fine=False,
            advice="deploy it, or name its namespaces by --namespace",
        )
    found = ", ".join(f"{name} ({len(ids)})" for name, ids in sorted(services.items()))
    return Finding(what="target", found=found, fine=True)
