"""Algorithms deployed by a client while windows come: real processes behind a real fence, a real broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from algorithm_system import AlgorithmSystem, algorithm_system, environments_of_tests, gone, steady_windows
from scored_run import BEGIN_US, SIZE_US, once

from microservo.errors import Unavailable
from microservo.log.reader import read_state
from microservo.supervision.fence import Fence
from microservo.testing import eventually
from schemas.catalogue import ALGORITHM_FILES
from schemas.records import Alarm, AlgorithmFile, Case, RootCause

pytestmark = pytest.mark.integration

TEN_LINES = """
class Distance:
    def __init__(self):
        self.mean = {}
    def score_one(self, x):
        return sum(abs(value - self.mean.get(name, value)) for name, value in x.items())
    def learn_one(self, x):
        for name, value in x.items():
            self.mean[name] = self.mean.get(name, value) * 0.95 + value * 0.05
"""
WRONG_SIGN = TEN_LINES.replace("return sum", "return -sum")
PAST, ODD = 60, range(50, 54)


@pytest.fixture(scope="module")
def system(
    kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AlgorithmSystem]:
    """Three detectors and a ranker, deployed side by side, with a past of sixty windows."""
    try:
        Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("algorithms")
    prefix = f"test-{uuid.uuid4().hex[:12]}-"
    with algorithm_system(kafka_bootstrap_servers, prefix, folder, environments_of_tests()) as system:
        system.add_windows(system.numbers(PAST), ODD)
        algorithms = system.client.algorithms
        algorithms.deploy("n-sigma")
        algorithms.deploy("random")
        algorithms.deploy("most-deviating")
        algorithms.deploy(str(written(folder / "distance.py", TEN_LINES)), alarms_per_hour=2)
        for name in ("n-sigma", "random", "distance", "most-deviating"):
            system.until_state("running", f"{name}@1")
        yield system


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_all_score_what_was_and_what_comes_once(system: AlgorithmSystem) -> None:
    numbers = system.numbers(20)
    system.add_windows(numbers)
    for name in ("n-sigma", "random", "distance"):
        system.until_scored(name, numbers)
        assert system.scored(name) == once(range(numbers[-1] + 1))


def test_an_odd_window_leads_to_an_alarm_a_case_and_a_ranking(system: AlgorithmSystem) -> None:
    alarms = [each for each in system.records(Alarm) if each.algorithm == "distance"]
    assert (alarms[0].service, alarms[0].opened_us) == ("cart", BEGIN_US + (ODD[0] + 1) * SIZE_US)
    cases = {each.case_id for each in system.records(Case)}
    assert cases

    def answered() -> dict[str, RootCause]:
        found = {each.case_id: each for each in system.records(RootCause)}
        return found if found.keys() >= cases else {}

    ranked = eventually(answered, timeout_s=60)
    assert len(system.records(RootCause)) == len(ranked)
    (of_alarm,) = (
        each
        for each in system.records(Case)
        if each.opened_us == alarms[0].opened_us and each.detector == "distance"
    )
    assert ranked[of_alarm.case_id].ranks[0] == "cart"


def test_list_says_how_each_runs(system: AlgorithmSystem) -> None:
    listed = {each.deployment.algorithm: each for each in system.client.algorithms.list()}
    assert listed.keys() >= {"n-sigma", "random", "distance", "most-deviating"}
    (state,) = listed["distance"].states
    assert state.phase == "running"
    assert state.windows >= 3 * PAST
    assert state.cpu_us > 0
    assert state.peak_memory_bytes > 1_000_000
    assert len(state.environment_sha256) == 64
    assert {"no network", "no files but its own"} <= set(state.holds)


def test_the_latency_of_what_comes_is_listed(system: AlgorithmSystem) -> None:
    with steady_windows(system, 0.2) as sent:
        eventually(lambda: len(sent) > 20, timeout_s=60)
    system.until_scored("n-sigma", range(sent[0], sent[-1] + 1))

    def latencies() -> tuple[int, int] | None:
        state = system.state("n-sigma@1")
        if state is None or state.latency_p50_us is None or state.latency_p99_us is None:
            return None
        return state.latency_p50_us, state.latency_p99_us

    p50_us, p99_us = eventually(latencies) or (0, 0)
    assert 0 < p50_us <= p99_us < 60_000_000


def test_a_detector_of_the_wrong_sign_is_refused_with_the_reason(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    system.client.algorithms.deploy(str(written(tmp_path / "wrong.py", WRONG_SIGN)))
    state = system.until_state("failed", "wrong@1")
    assert "an odd window outscores the median of normal ones" in state.reason
    assert "`sign = -1`" in state.reason
    assert system.scores("wrong") == []
    eventually(lambda: not system.hosts("wrong@1"))


def test_a_requirement_that_does_not_exist_fails_with_the_words_of_pip(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    path = written(tmp_path / "needy.py", TEN_LINES)
    system.client.algorithms.deploy(str(path), requires=["no-such-package-of-microservo==9.9.9"])
    state = system.until_state("failed", "needy@1")
    assert "no-such-package-of-microservo==9.9.9" in state.reason
    assert "ERROR" in state.reason


def test_a_new_version_takes_over_without_a_gap_or_a_window_scored_twice(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    path = written(tmp_path / "next.py", TEN_LINES)
    algorithms = system.client.algorithms
    algorithms.deploy(str(path))
    system.until_state("running", "next@1")
    with steady_windows(system, 0.2) as sent:
        eventually(lambda: len(sent) > 3)
        system.until_scored("next", range(sent[0], sent[0] + 3))
        algorithms.deploy(str(path))
        system.until_state("replaced", "next@1")
        at = len(sent)
        eventually(lambda: len(sent) > at + 3)
    system.until_scored("next", range(sent[0], sent[-1] + 1), version=2)
    before, after = (system.scored("next", version) for version in (1, 2))
    assert set(before.values()) == set(after.values()) == {1}
    # What the new one learned from it has scored, too: it could take over without a gap.
    assert before.keys() <= after.keys()
    algorithms.remove("next")


def test_what_is_stopped_and_started_goes_on_as_if_it_never_had(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    path = written(tmp_path / "paused.py", TEN_LINES)
    algorithms = system.client.algorithms
    for name in ("paused", "never-paused"):
        algorithms.deploy(str(path), name=name)
    for name in ("paused", "never-paused"):
        system.until_state("running", f"{name}@1")
    numbers = system.numbers(20)
    system.add_windows(numbers[:10])
    system.until_scored("paused", numbers[:10])
    algorithms.stop("paused")
    system.until_state("stopped", "paused@1")
    system.add_windows(numbers[10:])
    algorithms.start("paused")
    for name in ("paused", "never-paused"):
        system.until_scored(name, numbers)
    paused, never = (
        {key: each for key, each in system.values(name).items() if key[1] in numbers}
        for name in ("paused", "never-paused")
    )
    assert paused == never
    assert set(system.scored("paused").values()) == {1}
    algorithms.remove("paused")
    algorithms.remove("never-paused")


def test_what_is_removed_leaves_its_scores_and_the_number_of_its_version(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    algorithms = system.client.algorithms
    shared = written(tmp_path / "shared.py", TEN_LINES + "# shared\n")
    for name in ("one", "other"):
        algorithms.deploy(str(shared), name=name)
    algorithms.deploy(str(written(tmp_path / "anew.py", TEN_LINES + "# first\n")))
    for name in ("one", "other", "anew"):
        system.until_state("running", f"{name}@1")
    written(tmp_path / "anew.py", TEN_LINES + "# second\n")
    algorithms.deploy(str(tmp_path / "anew.py"))
    system.until_state("running", "anew@2")
    processes = [each for name in ("one@1", "anew@2") for each in [system.host(name), system.child(name)]]
    sha256 = {each.deployment.algorithm: each.deployment.files_sha256 for each in algorithms.list()}
    algorithms.remove("one")
    algorithms.remove("anew")
    eventually(lambda: gone(processes), timeout_s=60)
    removed = ("one@1", "anew@1", "anew@2")
    eventually(lambda: not any(system.folder_of(each).exists() for each in removed), timeout_s=60)
    for name in ("one@1", "anew@2"):
        assert system.until_state("stopped", name).reason == "it was removed"
    eventually(lambda: system.state("anew@1") is None, timeout_s=60)
    assert sha256["other"] == sha256["one"]
    numbers = system.numbers(3)
    system.add_windows(numbers)
    system.until_scored("other", numbers)
    algorithms.remove("other")
    left = files(system)
    assert not left & {sha256["other"], sha256["anew"]}
    # Of the first version of what was deployed anew neither.
    assert left <= {each.deployment.files_sha256 for each in algorithms.list()}


def files(system: AlgorithmSystem) -> set[str]:
    """The files on their topic."""
    state = read_state(system.broker, system.prefix + ALGORITHM_FILES, AlgorithmFile)
    return {part.sha256 for part in state.values()}
