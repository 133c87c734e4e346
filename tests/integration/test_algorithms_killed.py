"""Runner, host, algorithm and broker killed while windows come: no score is lost, and none is another one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from algorithm_system import AlgorithmSystem, algorithm_system, environments_of_tests, gone, steady_windows
from scored_run import SERVICES

from microservo.adapters.kafka.embedded import BrokerProcess, running_broker
from microservo.errors import Unavailable
from microservo.supervision.fence import Fence
from microservo.testing import eventually
from schemas.records import AnomalyScore

pytestmark = pytest.mark.integration

DETECTORS = ("n-sigma", "half")
BATCH = 3 * 200
"""Windows that a host may publish again after a kill: those of one batch."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One of its own, since it is killed."""
    with running_broker(tmp_path_factory.mktemp("kafka")) as process:
        yield process


@pytest.fixture(scope="module")
def system(broker: BrokerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlgorithmSystem]:
    """Two detectors that have scored what was."""
    try:
        Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("killed")
    with algorithm_system(broker.bootstrap_servers, "", folder, environments_of_tests()) as system:
        system.add_windows(system.numbers(40))
        system.client.algorithms.deploy("n-sigma")
        system.client.algorithms.deploy("robust-z", name="half")
        for name in DETECTORS:
            system.until_state("running", f"{name}@1")
        yield system


def lose_none(system: AlgorithmSystem, sent: list[int]) -> None:
    """Waits for the scores of all windows that came; each has one value, however often it lies on the log."""
    for name in DETECTORS:
        system.until_scored(name, range(sent[-1] + 1))
        assert {len(values) for values in system.values(name).values()} == {1}
        assert system.scored(name).total() - len(SERVICES) * (sent[-1] + 1) <= BATCH


def test_an_algorithm_that_is_killed_is_started_again_and_says_so(system: AlgorithmSystem) -> None:
    with steady_windows(system, 0.1) as sent:
        eventually(lambda: len(sent) > 5)
        system.child("n-sigma@1").kill()
        eventually(lambda: (state := system.state("n-sigma@1")) and state.restarts, timeout_s=60)
        at = len(sent)
        eventually(lambda: len(sent) > at + 5)
    lose_none(system, sent)
    state = system.state("n-sigma@1")
    assert state is not None
    assert "SIGKILL" in state.reason
    assert set(system.scored("n-sigma").values()) == {1}


def test_a_host_that_is_killed_goes_on_and_its_algorithm_ends_with_it(system: AlgorithmSystem) -> None:
    with steady_windows(system, 0.1) as sent:
        eventually(lambda: len(sent) > 5)
        host = system.host("n-sigma@1")
        children = host.children(recursive=True)
        assert children
        host.kill()
        eventually(lambda: gone(children), timeout_s=30)
        eventually(lambda: system.hosts("n-sigma@1"), timeout_s=30)
        at = len(sent)
        eventually(lambda: len(sent) > at + 5)
    lose_none(system, sent)


def test_with_a_runner_that_is_killed_all_ends_and_its_next_life_goes_on(system: AlgorithmSystem) -> None:
    with steady_windows(system, 0.1) as sent:
        eventually(lambda: len(sent) > 5)
        started = system.end(signal.SIGKILL)
        assert len(started) >= 2 * len(DETECTORS)
        eventually(lambda: gone(started), timeout_s=30)
        system.start()
        at = len(sent)
        eventually(lambda: len(sent) > at + 5)
    lose_none(system, sent)


def test_a_broker_that_is_killed_and_comes_back_costs_no_score(
    system: AlgorithmSystem, broker: BrokerProcess
) -> None:
    numbers = system.numbers(100)
    system.add_windows(numbers)
    assert broker.pid is not None
    broker.kill()
    broker.start()
    more = system.numbers(50)
    system.add_windows(more)
    lose_none(system, list(more))
    for name in DETECTORS:
        state = system.state(f"{name}@1")
        assert state is not None
        assert state.phase == "running"


def test_after_all_that_each_score_is_what_one_that_was_never_killed_gives(system: AlgorithmSystem) -> None:
    system.client.algorithms.deploy("n-sigma", name="undisturbed")
    system.until_state("running", "undisturbed@1")
    expected = system.values("undisturbed")
    assert system.values("n-sigma") == expected


def test_what_was_learned_in_one_run_is_not_used_in_another(system: AlgorithmSystem, tmp_path: Path) -> None:
    system.end()
    system.begin("run-2")
    system.start("run-2")
    eventually(
        lambda: (state := system.state("n-sigma@1")) and (state.run_id, state.phase) == ("run-2", "running"),
        timeout_s=120,
    )
    system.add_windows(range(30), run_id="run-2")

    def of(run_id: str) -> list[AnomalyScore]:
        return [each for each in system.scores("n-sigma") if each.run_id == run_id]

    eventually(lambda: len(of("run-2")) == 30 * len(SERVICES), timeout_s=120)
    first, second = of("run-1"), of("run-2")
    begun = {(each.service, each.start_us): repr(each.score) for each in first}
    assert {repr(each.score) for each in second} <= set(begun.values())
    assert all(begun[each.service, each.start_us] == repr(each.score) for each in second)
