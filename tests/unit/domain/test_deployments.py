from __future__ import annotations

from dataclasses import replace

from microservo.domain.deployments import Host, Start, Stop, changes, deployment_id
from schemas.codec import decode_as
from schemas.examples import example_bytes
from schemas.records import AlgorithmDeployment, AlgorithmPhase

DEPLOYMENT = decode_as(AlgorithmDeployment, example_bytes()["algorithm_deployment", 1]["half-space-trees"])


def host(version: int, phase: AlgorithmPhase) -> dict[str, Host]:
    deployment = replace(DEPLOYMENT, version=version)
    return {deployment_id(deployment): Host(deployment=deployment, phase=phase)}


def steps(deployed: AlgorithmDeployment | None, hosts: dict[str, Host]) -> list[Start | Stop]:
    return list(changes({} if deployed is None else {deployed.algorithm: deployed}, hosts))


def test_what_is_deployed_and_does_not_run_is_started() -> None:
    assert steps(DEPLOYMENT, {}) == [Start(deployment=DEPLOYMENT)]
    assert deployment_id(DEPLOYMENT) == "half-space-trees@2"


def test_a_version_runs_until_the_newer_one_has_caught_up() -> None:
    old = host(1, "running")
    assert steps(DEPLOYMENT, old) == [Start(deployment=DEPLOYMENT)]
    for phase in ("building", "checking", "learning"):
        assert steps(DEPLOYMENT, old | host(2, phase)) == []
    stop = Stop(deployment_id="half-space-trees@1", phase="replaced")
    assert steps(DEPLOYMENT, old | host(2, "running")) == [stop]


def test_where_the_newer_version_failed_the_older_goes_on() -> None:
    assert steps(DEPLOYMENT, host(1, "running") | host(2, "failed")) == []


def test_what_was_stopped_or_removed_runs_no_longer() -> None:
    stop = Stop(deployment_id="half-space-trees@2", phase="stopped")
    assert steps(replace(DEPLOYMENT, is_wanted=False), host(2, "running")) == [stop]
    assert steps(None, host(2, "failed")) == [stop]
    assert steps(replace(DEPLOYMENT, is_wanted=False), {}) == []


def test_what_was_deployed_anew_under_the_same_version_replaces_what_runs() -> None:
    anew = replace(DEPLOYMENT, deployed_at_us=DEPLOYMENT.deployed_at_us + 1)
    for phase in ("running", "failed"):
        stop = Stop(deployment_id="half-space-trees@2", phase="replaced")
        assert steps(anew, host(2, phase)) == [stop]


def test_nothing_is_done_where_all_agrees() -> None:
    assert steps(DEPLOYMENT, host(2, "running")) == []
