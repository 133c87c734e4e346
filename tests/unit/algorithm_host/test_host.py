from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from scored_run import BEGIN_US, FAULT_FREE, SERVICES, SIZE_US, once
from taught_run import CENTROIDS, DECLARATION, TaughtRun

from microservo.adapters.archive import pack
from microservo.algorithms.declaration import declaration_of
from microservo.application.training import training_of
from microservo.errors import InvalidInput
from microservo.log.algorithm_files import publish_file
from microservo.log.publisher import Publisher
from microservo.testing import eventually
from schemas.catalogue import CASES, DEAD_LETTER_SUFFIX, FEATURE_WINDOWS
from schemas.codec import encode
from schemas.records import Alarm, AlgorithmState, AnomalyScore, Case, FailureClass, RootCause
from tests.unit.algorithm_host.harness import BusyBroker, HoldingBroker, World

N_SIGMA = {"object": "shipped.n_sigma:NSigma", "features": "raw"}
ODD = range(50, 54)


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once for all tests here."""
    return tmp_path_factory.mktemp("environments")


@pytest.fixture
def world(tmp_path: Path, environments: Path) -> World:
    (tmp_path / "environments").symlink_to(environments)
    return World(tmp_path)


def reason_of(world: World) -> str:
    """What the newest state gives as a reason."""
    state = world.state()
    return "" if state is None else state.reason


def test_what_was_and_what_comes_is_scored_once(world: World) -> None:
    world.deploy(N_SIGMA)
    world.add_windows(range(40))
    with world.host():
        world.until("running")
        assert world.scored() == once(range(40))
        world.add_windows(range(40, 60), ODD)
        eventually(lambda: world.scored() == once(range(60)), timeout_s=20)
    score = world.records(AnomalyScore)[0]
    assert (score.algorithm, score.algorithm_version, len(score.input_sha256)) == ("a", 1, 64)
    state = world.state()
    assert state is not None
    assert (state.phase, state.windows, state.restarts) == ("stopped", 180, 0)
    assert state.cpu_us > 0
    assert state.peak_memory_bytes > 1_000_000


def test_while_it_learns_what_the_run_was_so_far_it_says_how_much_of_that_it_knows(world: World) -> None:
    world.deploy(N_SIGMA)
    world.add_windows(range(200))
    with world.host():
        world.until("running")
    states = [each for each in world.records(AlgorithmState) if each.phase in ("learning", "running")]
    assert (states[0].phase, states[0].learned_windows, states[0].windows_to_learn) == ("learning", 0, 600)
    learned = [each.learned_windows for each in states]
    assert learned == sorted(learned)
    assert learned[-1] == 600


def test_an_odd_window_after_the_fault_free_time_opens_an_alarm_and_a_case(world: World) -> None:
    world.deploy(N_SIGMA)
    world.add_windows(range(60), ODD)
    with world.host():
        world.until("running")
    opened, *others = world.records(Alarm)
    assert (opened.service, opened.opened_us) == ("cart", BEGIN_US + (ODD[0] + 1) * SIZE_US)
    assert opened.score > opened.threshold
    assert [each.closed_us is None for each in others] == [False]
    (case,) = world.records(Case)
    assert (case.service, case.opened_us, case.detector) == ("cart", opened.opened_us, "a")
    state = world.state()
    assert state is not None
    assert set(state.thresholds) == {"", *SERVICES}


def test_windows_that_come_all_at_once_are_taken_in_order_of_time_and_alarms_are_as_else(
    tmp_path: Path, environments: Path
) -> None:
    (tmp_path / "environments").symlink_to(environments)
    broker = HoldingBroker()
    world = World(tmp_path, broker)
    world.deploy(N_SIGMA)
    with world.host():
        world.until("running")
        broker.held.set()
        # It is given more of cart's partition than fault-free time is long, before any window of the other.
        world.put(FEATURE_WINDOWS, b"ads", b"no window", partition=0)
        world.add_windows(range(600), ODD)
        broker.held.clear()
        eventually(lambda: world.scored() == once(range(600)), timeout_s=30)
        eventually(lambda: len(world.records(Alarm)) == 2, timeout_s=20, what="an alarm and its end")
        world.add_windows(range(600, 602))
        eventually(lambda: world.scored() == once(range(602)), timeout_s=20)
    opened, closed = world.records(Alarm)
    assert (opened.service, opened.opened_us) == ("cart", BEGIN_US + (ODD[0] + 1) * SIZE_US)
    assert closed.closed_us is not None
    assert len(world.messages(FEATURE_WINDOWS + DEAD_LETTER_SUFFIX)) == 1


def test_a_fault_that_ends_the_fault_free_time_early_spoils_no_threshold(world: World) -> None:
    world.deploy(N_SIGMA)
    world.add_windows(range(FAULT_FREE), range(26, 29))
    with world.host():
        world.until("running")
        world.end_fault_free(24)
        world.add_windows(range(FAULT_FREE, 40))
        eventually(lambda: world.records(Alarm), timeout_s=20)
    assert world.records(Alarm)[0].opened_us == BEGIN_US + 27 * SIZE_US


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_host_that_comes_back_goes_on_and_publishes_nothing_twice(world: World, is_killed: bool) -> None:
    world.deploy(N_SIGMA)
    world.add_windows(range(45))
    with world.host():
        world.until("running")
    if is_killed:
        # What a host that was killed never wrote down.
        for path in (world.folder / "a@1" / "memory" / "run-1").glob("memory.json"):
            path.unlink()
    world.add_windows(range(45, 60), ODD)
    with world.host():
        eventually(lambda: world.scored() == once(range(60)), timeout_s=20)
        eventually(lambda: len(world.records(Alarm)) == 2, timeout_s=20)

    whole = World(world.folder / "whole")
    whole.folder.mkdir()
    (whole.folder / "environments").symlink_to(world.folder / "environments")
    whole.deploy(N_SIGMA)
    whole.add_windows(range(60), ODD)
    with whole.host():
        whole.until("running")
    values = {
        (each.service, each.start_us): (repr(each.score), each.input_sha256)
        for each in whole.records(AnomalyScore)
    }
    assert {
        (each.service, each.start_us): (repr(each.score), each.input_sha256)
        for each in world.records(AnomalyScore)
    } == values
    assert [each.alarm_id for each in world.records(Alarm)] == [
        each.alarm_id for each in whole.records(Alarm)
    ]


def test_what_passed_its_checks_is_not_checked_again_until_it_changes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    checked = []
    with caplog.at_level("INFO", logger="services.algorithm_host.checking"):
        for version, top_k in enumerate((3, 3, 4), start=1):
            world.deploy({**N_SIGMA, "params": {"top_k": top_k}}, version=version)
            caplog.clear()
            with world.host(version=version):
                world.until("running", f"a@{version}")
            checked.append("check the same seed gives the same scores: holds" in caplog.messages)
    assert checked == [True, False, True]


def test_an_environment_that_takes_too_long_to_build_is_said(world: World) -> None:
    world.deploy({**N_SIGMA, "requires": ["river==0.22.0"]})
    with world.host(environment_deadline_s=0.01):
        state = world.until("failed")
    assert "the environment was not built in time" in state.reason


def test_what_is_left_of_a_run_that_is_over_is_scored_once(world: World) -> None:
    world.deploy(N_SIGMA)
    world.add_windows(range(40))
    world.end()
    with world.host():
        world.until("running")
        world.add_windows(range(40, 45))
        eventually(lambda: world.scored() == once(range(45)), timeout_s=20)
    with world.host():
        world.until("running")
        reason = eventually(lambda: reason_of(world), timeout_s=20)
    # All that is to be said is how little fault-free time there was.
    assert reason == (
        "72 scores in fault-free time can promise no fewer than 30 false alarms an hour; "
        "that 1 will come is a guess from their tail, so make that time longer"
    )
    assert world.scored() == once(range(45))


def test_a_host_that_ends_while_the_broker_takes_nothing_loses_no_score(world: World) -> None:
    broker = BusyBroker()
    world = World(world.folder, broker)
    world.deploy(N_SIGMA)
    world.add_windows(range(40))
    with world.host():
        world.until("running")
        broker.busy.set()
        world.add_windows(range(40, 50))
        assert broker.refused.wait(20)
    broker.busy.clear()
    with world.host():
        eventually(lambda: world.scored() == once(range(50)), timeout_s=20)


def test_a_detector_that_is_not_ready_for_long_says_so_until_it_is(world: World) -> None:
    world.deploy({**N_SIGMA, "params": {"warm_up_windows": 200}})
    world.add_windows(range(100))
    with world.host():
        assert "it was never ready in 300 windows" in world.until("running").reason
        world.add_windows(range(100, 201))
        # Nothing was scored in fault-free time, which is still to be said.
        why_none = "no threshold, so no alarms: only 0 scores of at least 30"
        eventually(lambda: (found := world.state()) and found.reason.startswith(why_none), timeout_s=30)


def test_an_algorithm_that_is_killed_is_started_again_and_loses_no_window(world: World) -> None:
    world.deploy(N_SIGMA)
    world.add_windows(range(40))
    with world.host():
        world.until("running")
        kill_algorithm()
        world.add_windows(range(40, 60))
        eventually(lambda: world.scored() == once(range(60)), timeout_s=30)
        state = world.until("running")
        assert state.restarts == 1
        assert "SIGKILL" in state.reason


def kill_algorithm() -> None:
    (child,) = (
        each
        for each in psutil.Process().children(recursive=True)
        if any("fenced" in part for part in each.cmdline())
    )
    os.kill(child.pid, signal.SIGKILL)


def test_one_that_raises_again_and_again_has_failed_and_says_why(world: World, tmp_path: Path) -> None:
    world.deploy({"object": "shipped.n_sigma:NSigma", "params": {"top_k": 0}})
    world.add_windows(range(3))
    with world.host():
        state = world.until("failed")
    assert "top_k" in state.reason
    assert world.records(AnomalyScore) == []


def test_a_host_that_was_not_told_what_to_run_ends_and_says_so(world: World) -> None:
    with pytest.raises(InvalidInput, match="holds no deployment"), world.host() as shutdown:
        eventually(lambda: shutdown.wait(0.1) or True, timeout_s=5)


RANKER = {"object": "shipped.rankers:most_deviating", "task": "ranker"}


def case(number: int, case_id: str = "c-1") -> Case:
    opened_us = BEGIN_US + (number + 1) * SIZE_US
    return Case(
        run_id="run-1",
        case_id=case_id,
        origin="alarm",
        detector="n-sigma",
        detector_version=1,
        service="cart",
        opened_us=opened_us,
        until_us=opened_us,
        published_at_us=opened_us,
    )


def test_a_ranker_is_asked_about_each_case_once_when_the_windows_are_there(world: World) -> None:
    world.deploy(RANKER, task="ranker")
    world.add_windows(range(51), ODD)
    world.put(CASES, b"c-1", encode(case(50)))
    with world.host():
        world.until("running")
        (ranked,) = eventually(lambda: world.records(RootCause), timeout_s=20)
        assert (ranked.case_id, ranked.ranks[0], ranked.candidates) == ("c-1", "cart", 3)
        world.put(CASES, b"c-2", encode(case(53, "c-2")))
        world.put(CASES, b"c-1", encode(case(50)))
        world.add_windows(range(51, 54), ODD)
        eventually(lambda: len(world.records(RootCause)) == 2, timeout_s=20)
    with world.host():
        world.until("running")
    assert sorted(each.case_id for each in world.records(RootCause)) == ["c-1", "c-2"]


def test_a_case_without_enough_windows_before_it_is_answered_with_the_reason(world: World) -> None:
    world.deploy(RANKER, task="ranker")
    world.add_windows(range(5))
    world.put(CASES, b"c-1", encode(case(1)))
    with world.host():
        (ranked,) = eventually(lambda: world.records(RootCause), timeout_s=30)
    assert ranked.ranks == ()
    assert "too few windows" in ranked.reason


def deploy_classifier(world: World, folder: Path, taught_by: str) -> None:
    (folder / "centroids.py").write_text(CENTROIDS)
    training = training_of(TaughtRun(taught_by), declaration_of(DECLARATION))
    with world.broker.producer() as producer:
        publisher = Publisher(producer, "client", prefix="", clock=lambda: BEGIN_US)
        code = publish_file(publisher, pack((folder / "centroids.py",)))
        lessons = publish_file(publisher, training.pack())
        publisher.flush(5)
    world.deploy(DECLARATION, task="classifier", source="file", files_sha256=code, training_sha256=lessons)


def test_a_classifier_that_was_trained_on_another_run_says_which_kind_a_case_is(
    world: World, tmp_path: Path
) -> None:
    deploy_classifier(world, tmp_path, taught_by="run-before")
    world.add_windows(range(51), ODD)
    world.put(CASES, b"c-1", encode(case(50)))
    with world.host():
        (found,) = eventually(lambda: world.records(FailureClass), timeout_s=30)
    assert found.reason == ""
    classes = dict(zip(found.kinds, found.probabilities, strict=True))
    assert classes["memory-hog"] > 0.9 > classes["http-delay"]


def test_a_classifier_that_was_trained_on_the_run_that_it_would_be_judged_on_has_failed_and_says_so(
    world: World, tmp_path: Path
) -> None:
    deploy_classifier(world, tmp_path, taught_by="run-1")
    with world.host():
        state = world.until("failed")
    assert "trained on run 'run-1', the one that it would be judged on" in state.reason


CONSTANT = {"object": "shipped.controls:Constant", "features": "raw", "control": True}


def test_a_detector_whose_scores_never_change_says_that_it_has_no_threshold_and_gives_no_alarm(
    world: World,
) -> None:
    world.deploy(CONSTANT)
    world.add_windows(range(60), ODD)
    with world.host():
        world.until("running")
        eventually(
            lambda: "no threshold, so no alarms" in world.records(AlgorithmState)[-1].reason, timeout_s=20
        )
    assert world.records(Alarm) == []
