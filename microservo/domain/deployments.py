"""What has to be done so that what runs agrees with what is deployed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.records import AlgorithmDeployment, AlgorithmPhase

NO_FENCE = "no fence"
"""The first word of what a fence holds where there is none."""
_HAS_TAKEN_OVER: frozenset[AlgorithmPhase] = frozenset({"running"})


def deployment_id(deployment: AlgorithmDeployment) -> str:
    """Identity of a version of a deployed algorithm."""
    return f"{deployment.algorithm}@{deployment.version}"


def is_same_version(one: AlgorithmDeployment, other: AlgorithmDeployment) -> bool:
    """Whether two are of one deployment, which may have been stopped or started in between."""
    return deployment_id(one) == deployment_id(other) and one.deployed_at_us == other.deployed_at_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What runs, or ran until it failed: a deployed version of an algorithm and how far it has come."""

    deployment: AlgorithmDeployment
    phase: AlgorithmPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Begin to run a version."""

    deployment: AlgorithmDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Run a version no longer; it is `replaced` where another version has taken over."""

    deployment_id: str
    phase: AlgorithmPhase


def changes(deployed: Mapping[str, AlgorithmDeployment], hosts: Mapping[str, Host]) -> Iterator[Start | Stop]:
    """The steps towards what is deployed.

    A version runs until a newer one has caught up; one that failed stays as it is until it is deployed anew,
    and what ran before it goes on. One that was removed and deployed again is another one, though it may have
    the same version.

    Args:
        deployed: the newest version of each algorithm, by its name.
        hosts: what runs or has failed, by deployment id.
    """
    for id_, host in sorted(hosts.items()):
        deployment = deployed.get(host.deployment.algorithm)
        if deployment is None or not deployment.is_wanted:
            yield Stop(deployment_id=id_, phase="stopped")
        elif is_same_version(host.deployment, deployment):
            continue
        elif host.deployment.version == deployment.version or _phase(hosts, deployment) in _HAS_TAKEN_OVER:
            yield Stop(deployment_id=id_, phase="replaced")
    for _, deployment in sorted(deployed.items()):
        if deployment.is_wanted and deployment_id(deployment) not in hosts:
            yield Start(deployment=deployment)


def _phase(hosts: Mapping[str, Host], deployment: AlgorithmDeployment) -> AlgorithmPhase | None:
    host = hosts.get(deployment_id(deployment))
    return None if host is None else host.phase
