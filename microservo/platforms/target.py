"""Which platform a target is on, by its state file: a launcher's, or one that names pods of a cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from microservo.adapters.clock import now_us
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.platform import Platform

if TYPE_CHECKING:
    from microservo.platforms.kubernetes.api import KubernetesApi


class KubernetesTarget(BaseModel):
    """The state file of a target in a cluster, whose state the cluster itself has.

    Attributes:
        platform: tells it from other state files.
        namespaces: those that belong to the target.
        fault_namespaces: those in which others keep objects of Chaos Mesh that act on it, besides.
        context: in the kubeconfig; None for the current one, or the cluster around the process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    platform: str = Field(default="kubernetes", pattern="^kubernetes$")
    namespaces: tuple[str, ...] = Field(min_length=1)
    fault_namespaces: tuple[str, ...] = ()
    context: str | None = None


def platform_of(state_file: Path, *, clock: Callable[[], int] = now_us) -> Platform:
    """The platform of the target that a file describes; the local one as long as there is no file.

    Raises:
        InvalidInput: the file names a cluster, and not as it should, or its client is not installed.
        Unavailable: it names a cluster that can't be found.
    """
    target = kubernetes_target(state_file)
    if target is None:
        return LocalPlatform(state_file, clock=clock)
    return kubernetes_platform(target, clock=clock)


def running_platform(state_file: Path) -> Platform | None:
    """The platform of the target that this file describes, if one runs; raises as `platform_of`."""
    return platform_of(state_file) if state_file.exists() else None


def kubernetes_target(state_file: Path) -> KubernetesTarget | None:
    """What a state file says of a cluster; None where it is none of a cluster.

    Raises:
        InvalidInput: it is one, and not as it should be.
    """
    try:
        text = state_file.read_text(encoding="utf-8")
    except OSError:
        return None
    if '"platform"' not in text[:200]:
        return None
    try:
        return KubernetesTarget.model_validate_json(text)
    except ValidationError as error:
        msg = f"{state_file} names no cluster: {error}; write for example {_EXAMPLE}"
        raise InvalidInput(msg) from error


def kubernetes_platform(target: KubernetesTarget, *, clock: Callable[[], int] = now_us) -> Platform:
    """The platform of pods; raises as `platform_of`."""
    api = kubernetes_api(target.context)
    from microservo.platforms.kubernetes.platform import KubernetesPlatform  # noqa: PLC0415  # as above

    return KubernetesPlatform(api, target.namespaces, fault_namespaces=target.fault_namespaces, clock=clock)


def kubernetes_api(context: str | None) -> KubernetesApi:
    """The cluster of a context, the current one without; raises as `platform_of`."""
    try:
        # An extra, and some time to load: only who runs on a cluster needs it.
        from microservo.platforms.kubernetes.api import connect  # noqa: PLC0415
    except ImportError as error:
        msg = f"the client of Kubernetes is not installed ({error}): pip install 'microservo[kubernetes]'"
        raise InvalidInput(msg) from error
    return connect(context)


def kinds_of_clusters() -> tuple[str, ...]:
    """The kinds that can be carried in a cluster with all of Chaos Mesh, in order of the catalogue."""
    return tuple(name for name, kind in KINDS.items() if _CLUSTER_MECHANISMS.intersection(kind.mechanisms))


def cluster_variables() -> dict[str, str]:
    """What this process' environment says of the way to a cluster: its kubeconfig, credentials, proxies."""
    return {name: value for name, value in os.environ.items() if _VARIABLE.fullmatch(name)}


_CLUSTER_MECHANISMS = frozenset({"noop", "chaos-mesh"})
_VARIABLE = re.compile(
    "KUBECONFIG|KUBERNETES_SERVICE_.*|(AWS|AZURE|CLOUDSDK|GOOGLE)_.*|(HTTPS_PROXY|https_proxy|NO_PROXY|no_proxy)"
)
"""Those behind the kubeconfig are of the programs that it has asked for credentials."""
_EXAMPLE = KubernetesTarget(namespaces=("shop",)).model_dump_json()
