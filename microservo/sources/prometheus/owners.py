"""Which workload a pod belongs to: as kube-state-metrics says, else by the form of its name.

A pod of a Deployment belongs to a ReplicaSet, and that to the Deployment; one of a StatefulSet or a DaemonSet
to that itself. Names may have hyphens, so a name alone does not tell where the workload's ends: only its form
at the end is looked at, `-<template hash>-<five>`, `-<ordinal>` or `-<five>`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Source: apimachinery's `rand.SafeEncodeString`: no vowels, and no digit that looks like one.
_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"
_FORMS = (
    re.compile(rf"^(.+)-{_RANDOM}{{6,10}}-{_RANDOM}{{5}}$"),
    re.compile(r"^(.+)-\d{1,5}$"),
    re.compile(rf"^(.+)-{_RANDOM}{{5}}$"),
)


class Owners:
    """Knows owners by what was asked last."""

    def __init__(self) -> None:
        self._workloads: Mapping[tuple[str, str], str] = {}

    def learn(self, pods: Sequence[Any], replica_sets: Sequence[Any]) -> None:
        """Takes in `kube_pod_owner` and `kube_replicaset_owner`, as an instant query gives them."""
        above = {
            (labels.get("namespace", ""), labels.get("replicaset", "")): labels["owner_name"]
            for labels in _labels(replica_sets)
        }
        self._workloads = {
            (namespace, labels.get("pod", "")): above.get((namespace, owner), owner)
            if labels.get("owner_kind") == "ReplicaSet"
            else owner
            for labels in _labels(pods)
            for namespace, owner in ((labels.get("namespace", ""), labels["owner_name"]),)
        }

    def of(self, namespace: str, pod: str) -> str:
        """The workload that owns a pod; its own name where it belongs to none."""
        return self._workloads.get((namespace, pod)) or workload_of(pod)


def workload_of(pod: str) -> str:
    """The workload that a pod's name looks to be of.

    Example:
        >>> [workload_of(pod) for pod in ("cart-7d9f8b6c5d-x2x4z", "redis-cart-0", "web")]
        ['cart', 'redis-cart', 'web']
    """
    return next((found[1] for form in _FORMS if (found := form.match(pod))), pod)


def _labels(result: Sequence[Any]) -> list[Mapping[str, str]]:
    return [each["metric"] for each in result if each["metric"].get("owner_name") not in (None, "", "<none>")]
