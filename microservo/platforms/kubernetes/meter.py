"""What pods use, as the cluster's metrics API says; metrics-server measures every 15 s or so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import nan

from microservo.platforms.kubernetes.api import Json, KubernetesApi, NotFound
from microservo.platforms.kubernetes.discovery import Discovery
from microservo.platforms.platform import RUNS, Readings

PATH = "/apis/metrics.k8s.io/v1beta1"
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", re.ASCII)
_FACTORS: Mapping[str, Fraction] = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{f"{name}i": Fraction(1024**power) for power, name in enumerate("KMGTP", 1)},
    **{name: Fraction(1000**power) for power, name in enumerate("kMGTP", 1)},
}


class PodMeter:
    """`Meter` of pods: memory in bytes, processor in cores. nan of what runs and was not measured yet.

    Args:
        api: the cluster.
        discovery: its pods.
        namespaces: where they are.
    """

    def __init__(self, api: KubernetesApi, discovery: Discovery, namespaces: Sequence[str]) -> None:
        self._api = api
        self._discovery = discovery
        self._namespaces = tuple(namespaces)

    def read(self) -> Readings:
        used = self._used()
        return {pod.id: {RUNS: nan, **used.get(pod.id, {})} for pod in self._discovery.pods() if pod.is_up}

    def _used(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for namespace in self._namespaces:
            try:
                listed = self._api.get(f"{PATH}/namespaces/{namespace}/pods")["items"]
            except NotFound:
                continue
            found.update(
                {f"{namespace}/{each['metadata']['name']}": _sums(each["containers"]) for each in listed}
            )
        return found


def quantity(text: str) -> float:
    """The number that a quantity of the API stands for.

    Example:
        >>> quantity("64Mi"), quantity("250m")
        (67108864.0, 0.25)
    """
    match = _QUANTITY.fullmatch(text)
    factor = _FACTORS.get(match[2]) if match else None
    return float(Fraction(match[1]) * factor) if match and factor else nan


def _sums(containers: Sequence[Json]) -> dict[str, float]:
    usages = [each["usage"] for each in containers]
    return {
        RUNS: sum(quantity(each["memory"]) for each in usages),
        "process.cpu.utilization": sum(quantity(each["cpu"]) for each in usages),
    }
