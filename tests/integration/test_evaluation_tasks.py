"""Evaluation by replay and by task, on a real broker and through the real fence: the same digits."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from algorithm_system import AlgorithmSystem, algorithm_system, environments_of_tests, gone
from evaluator_processes import evaluators
from judged_run import ODD, WINDOWS, add_truth, end_run
from scored_run import BEGIN_US, SERVICES, SIZE_US

from microservo.adapters.processes import child_environment
from microservo.application.evaluation_tasks import TaskStatus
from microservo.domain.evaluation_tasks.attempts import LEASE_US
from microservo.errors import InvalidInput, Unavailable
from microservo.log.reader import read_state
from microservo.supervision.fence import Fence
from microservo.testing import eventually
from schemas.catalogue import EVALUATIONS
from schemas.records import Alarm, Evaluation, EvaluationTask

pytestmark = pytest.mark.integration

SLOW = """
import time

class Slow:
    def __init__(self) -> None:
        self.seen = 0

    def score_one(self, x):
        time.sleep(0.03)
        return x["metric/process.memory.usage/mean"]

    def learn_one(self, x) -> None:
        self.seen += 1
"""

WITHIN_S = 1.5
"""A second, and half of one for a machine that other tests keep busy."""
SLOWER = SLOW.replace("0.03", "0.5")
"""What it is asked at once, sixteen windows of a service, takes eight times as long as a pause may."""


@pytest.fixture(scope="module")
def system(
    kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AlgorithmSystem]:
    """A run that is over, which a detector, a ranker and an evaluator followed while it went on."""
    try:
        Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "slow.py").write_text(SLOW)
    prefix = f"tasks-{uuid.uuid4().hex[:12]}-"
    environments = environments_of_tests()
    environments.mkdir(parents=True, exist_ok=True)
    (folder / "environments").symlink_to(environments)
    settings = {"MICROSERVO_HOME": str(folder)}
    with algorithm_system(kafka_bootstrap_servers, prefix, folder, environments, **settings) as system:
        for name in ("n-sigma", "most-deviating"):
            system.client.algorithms.deploy(name)
            system.until_state("running", f"{name}@1")
        with evaluators(system.environment, folder) as live:
            live.start()
            system.add_windows(system.numbers(WINDOWS), ODD)
            add_truth(system)
            system.until_scored("n-sigma", range(WINDOWS))
            with contextlib.suppress(AssertionError):
                eventually(lambda: len(system.records(Alarm)) >= 4, timeout_s=60)
            alarms = system.records(Alarm)
            assert len(alarms) == 4, f"not two alarms and their ends: {alarms}\n{system.log_of('n-sigma@1')}"
            eventually(
                lambda: "chained_ac_1" in metrics_of(system, "most-deviating"),
                timeout_s=60,
                what="ranks of all cases on the board",
            )
            end_run(system)
            eventually(lambda: all(each.is_final for each in board(system).values()), timeout_s=60)
            live.end_all()
        # What is deployed from now on no host runs: what it is worth on the run, a task finds out.
        system.end()
        system.client.algorithms.deploy(str(folder / "slow.py"), name="slow")
        (folder / "slower.py").write_text(SLOWER)
        system.client.algorithms.deploy(str(folder / "slower.py"), name="slower", deadline=0.6)
        system.client.algorithms.deploy("robust-z", name="late")
        yield system


@pytest.fixture(scope="module")
def undisturbed(system: AlgorithmSystem, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a task at which nothing happens finds of the slow one."""
    tasks = system.client.tasks
    with evaluators(system.environment, tmp_path_factory.mktemp("undisturbed")) as started:
        started.start()
        return without_cost(tasks.wait(tasks.request("slow", "run-1").task_id).evaluation)


def board(system: AlgorithmSystem) -> dict[str, Evaluation]:
    found = read_state(system.broker, system.prefix + EVALUATIONS, Evaluation)
    return {each.algorithm: each for each in found.values()}


def metrics_of(system: AlgorithmSystem, algorithm: str) -> tuple[str, ...]:
    found = board(system).get(algorithm)
    return () if found is None else found.metrics


def without_cost(found: Evaluation | None) -> str:
    """To the last digit."""
    assert found is not None
    return repr(replace(found, cpu_us=0, peak_memory_bytes=0, latency_p99_us=None, updated_at_us=0))


def command_line(system: AlgorithmSystem, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("microservo")), "--topic-prefix", system.prefix, *arguments],
        env=child_environment(system.environment),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def until(system: AlgorithmSystem, task_id: str, state: str, timeout_s: float = 120) -> TaskStatus:
    def reached() -> TaskStatus | None:
        task = system.client.tasks.show(task_id)
        return task if task.state == state else None

    found = eventually(reached, timeout_s=timeout_s, interval_s=0.1, what=f"{task_id} to be {state}")
    assert found is not None
    return found


def at_work(system: AlgorithmSystem, task_id: str) -> TaskStatus:
    """Waits until some of its windows are done."""

    def some() -> TaskStatus | None:
        task = system.client.tasks.show(task_id)
        return task if 0 < task.windows_done < task.windows_total else None

    found = eventually(some, timeout_s=120, interval_s=0.1, what=f"{task_id} to be at work")
    assert found is not None
    return found


def processes_of_tasks(evaluator: psutil.Process) -> list[psutil.Process]:
    return [each for each in evaluator.children() if "services.evaluator.task_process" in each.cmdline()]


def fenced_of(evaluator: psutil.Process) -> list[psutil.Process]:
    """What runs the algorithm behind the fence, of all tasks that it works on."""
    with contextlib.suppress(psutil.Error):
        below = [each for task in processes_of_tasks(evaluator) for each in task.children(recursive=True)]
        return [each for each in below if each.name().startswith("python")]
    return []


def is_stopped(processes: list[psutil.Process]) -> bool:
    return bool(processes) and all(each.status() == psutil.STATUS_STOPPED for each in processes)


@pytest.mark.parametrize("name", ["n-sigma", "most-deviating"])
def test_a_replay_through_the_fence_finds_what_stands_on_the_live_board(
    system: AlgorithmSystem, name: str
) -> None:
    result = command_line(system, "algorithm", "evaluate", name, "--run", "run-1", "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    on_board = board(system)[name]
    assert on_board.is_final
    assert on_board.is_fenced
    assert document["input_sha256"] == on_board.input_sha256
    assert document["is_fenced"]
    live = {
        name: None if value != value else value  # noqa: PLR0124 -- NaN
        for name, value in zip(on_board.metrics, on_board.values, strict=True)
    }
    assert dict(zip(document["metrics"], document["values"], strict=True)) == live
    shown = command_line(system, "algorithm", "evaluate", name, "--run", "run-1")
    assert shown.returncode == 0, shown.stderr
    assert f"{name}@1 on run-1/" in shown.stdout


def test_a_task_finds_what_stands_on_the_live_board_and_a_late_algorithm_gets_a_row_on_it(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    with evaluators(system.environment, tmp_path) as started:
        started.start()
        asked = command_line(system, "algorithm", "evaluate", "n-sigma", "--run", "run-1", "--background")
        assert asked.returncode == 0, asked.stderr
        done = system.client.tasks.wait(asked.stdout.strip())
        late = system.client.tasks.wait(system.client.tasks.request("late", "run-1").task_id)
        started.end_all()
    assert without_cost(done.evaluation) == without_cost(board(system)["n-sigma"])
    assert (done.windows_done, done.windows_total) == (WINDOWS * len(SERVICES), WINDOWS * len(SERVICES))
    assert late.evaluation is not None
    assert "late" not in board(system)
    (detectors, _) = system.client.board.show("run-1")
    assert {row.name for row in detectors.rows} >= {"n-sigma@1", "late@1"}
    rows = [row for row in detectors.rows if row.name == "n-sigma@1"]
    assert [repr(row.evaluation) for row in rows] == [repr(board(system)["n-sigma"])], "the live row stays"


def test_a_task_on_a_part_is_a_scenario_of_its_own_and_begins_when_it_shall(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    def at(number: int) -> datetime:
        return datetime.fromtimestamp((BEGIN_US + number * SIZE_US) / 1e6, UTC)

    with evaluators(system.environment, tmp_path) as started:
        started.start()
        start_at = datetime.fromtimestamp(time.time() + 5, UTC)
        task = system.client.tasks.request(
            "n-sigma", "run-1", from_at=at(60), to_at=at(90), start_at=start_at
        )
        assert task.state == "scheduled"
        done = system.client.tasks.wait(task.task_id)
    assert time.time() >= start_at.timestamp()
    assert done.evaluation is not None
    assert (done.evaluation.windows, done.evaluation.cases) == (30 * len(SERVICES), 1)
    assert done.evaluation.scenario.startswith("run-1[20")
    (found,) = system.client.board.show(done.evaluation.scenario)
    assert [row.name for row in found.rows] == ["n-sigma@1"]


def test_a_pause_and_an_interruption_take_effect_within_a_second(
    system: AlgorithmSystem, undisturbed: str, tmp_path: Path
) -> None:
    tasks = system.client.tasks
    with evaluators(system.environment, tmp_path) as started:
        evaluator = started.start()
        task = tasks.request("slow", "run-1")
        at_work(system, task.task_id)
        begun_s = time.monotonic()
        tasks.pause(task.task_id)
        paused = until(system, task.task_id, "paused")
        took = {"pause": time.monotonic() - begun_s}
        time.sleep(3)
        assert until(system, task.task_id, "paused").windows_done == paused.windows_done
        tasks.resume(task.task_id)
        done = tasks.wait(task.task_id)
        assert done.attempt == 1
        assert without_cost(done.evaluation) == undisturbed

        tasks.rerun(task.task_id)
        at_work(system, task.task_id)
        (process,) = processes_of_tasks(evaluator)
        children = [process, *process.children(recursive=True)]
        begun_s = time.monotonic()
        tasks.interrupt(task.task_id)
        until(system, task.task_id, "interrupted")
        took["interruption"] = time.monotonic() - begun_s
        eventually(lambda: gone(children), timeout_s=10)
        assert max(took.values()) < WITHIN_S, took
        refused = command_line(system, "board", "tasks", "pause", task.task_id)
        assert refused.returncode == 2
        assert "is interrupted, so there is nothing to pause" in refused.stderr
        listed = command_line(system, "board", "tasks", "list")
        assert task.task_id in listed.stdout


def test_a_pause_takes_effect_within_a_second_in_the_middle_of_a_window_and_costs_it_nothing(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    tasks = system.client.tasks
    with evaluators(system.environment, tmp_path) as started:
        evaluator = started.start()
        task = tasks.request("slower", "run-1")
        eventually(lambda: fenced_of(evaluator), timeout_s=120, what="the algorithm's process")
        # Its first answer comes eight seconds after it was asked, so from now on it is in the middle of that.
        eventually(lambda: tasks.show(task.task_id).windows_total, timeout_s=60, what="it to be asked")
        begun_s = time.monotonic()
        tasks.pause(task.task_id)
        paused = until(system, task.task_id, "paused")
        took_s = time.monotonic() - begun_s
        assert paused.windows_done == 0, "it did not wait for the answer"
        eventually(lambda: is_stopped(fenced_of(evaluator)), timeout_s=10, what="it to stand still")
        # Longer than these windows may take: that time must not count.
        time.sleep(12)
        assert is_stopped(fenced_of(evaluator))
        assert tasks.show(task.task_id).state == "paused"
        tasks.resume(task.task_id)
        done = at_work(system, task.task_id)
        assert (done.state, done.attempt) == ("running", 1)
        tasks.interrupt(task.task_id)
        until(system, task.task_id, "interrupted")
    assert took_s < WITHIN_S


def test_two_evaluators_share_the_tasks_and_one_that_is_killed_leaves_its_own_to_the_other(
    system: AlgorithmSystem, undisturbed: str, tmp_path: Path
) -> None:
    tasks = system.client.tasks
    with evaluators(system.environment, tmp_path) as started:
        pair = started.start(), started.start()
        asked = [tasks.request("slow", "run-1").task_id for _ in range(4)]
        eventually(lambda: all(processes_of_tasks(each) for each in pair), timeout_s=60, what="both at work")
        held = {id_: tasks.show(id_) for id_ in asked}
        at_once = [each for each in held.values() if each.state == "running"]
        assert len({each.holder for each in at_once}) == len(at_once) == 2
        for each in at_once:
            at_work(system, each.task_id)
        pair[0].kill()
        pair[0].wait(10)
        done = [tasks.wait(id_) for id_ in asked]
    assert [without_cost(each.evaluation) for each in done] == [undisturbed] * len(asked)
    # The killed one's task was begun again, the others once.
    assert sorted(each.attempt for each in done) == [1, 1, 1, 2]
    assert len({each.holder for each in done}) == 1
    records = [each for each in system.records(EvaluationTask) if each.task_id in asked]
    assert sorted(each.task_id for each in records if each.state == "done") == sorted(asked)


def test_an_evaluator_that_stood_still_for_long_comes_back_and_changes_nothing(
    system: AlgorithmSystem, undisturbed: str, tmp_path: Path
) -> None:
    tasks = system.client.tasks
    with evaluators(system.environment, tmp_path) as started:
        frozen = started.start()
        task = tasks.request("slow", "run-1")
        at_work(system, task.task_id)
        tree = [frozen, *frozen.children(recursive=True)]
        for each in tree:
            each.suspend()
        started.start()
        eventually(lambda: tasks.show(task.task_id).attempt == 2, timeout_s=60, what="another to take over")
        at_work(system, task.task_id)
        for each in reversed(tree):
            each.resume()
        done = tasks.wait(task.task_id)
        eventually(lambda: processes_of_tasks(frozen) == [], timeout_s=30, what="the first to let go of it")
    assert done.attempt == 2
    assert without_cost(done.evaluation) == undisturbed
    ends = [each for each in system.records(EvaluationTask) if each.task_id == task.task_id]
    assert [each.attempt for each in ends if each.state == "done"] == [2]


def test_a_pause_outlives_the_evaluator_that_it_was_asked_of(
    system: AlgorithmSystem, undisturbed: str, tmp_path: Path
) -> None:
    tasks = system.client.tasks
    with evaluators(system.environment, tmp_path) as started:
        evaluator = started.start()
        task = tasks.request("slow", "run-1")
        at_work(system, task.task_id)
        tasks.pause(task.task_id)
        until(system, task.task_id, "paused")
        evaluator.kill()
        evaluator.wait(10)
        other = started.start()
        # By then the lease of the one that was killed has run out.
        time.sleep(LEASE_US / 1e6 + 3)
        assert tasks.show(task.task_id).state == "paused"
        assert processes_of_tasks(other) == []
        tasks.resume(task.task_id)
        done = tasks.wait(task.task_id)
    assert done.attempt == 2
    assert without_cost(done.evaluation) == undisturbed


def test_whoever_is_killed_a_task_ends_once_with_the_same_digits(
    system: AlgorithmSystem, undisturbed: str, tmp_path: Path
) -> None:
    tasks = system.client.tasks
    with evaluators(system.environment, tmp_path) as started:
        evaluator = started.start()
        task = tasks.request("slow", "run-1")
        at_work(system, task.task_id)
        (process,) = processes_of_tasks(evaluator)
        process.send_signal(signal.SIGKILL)
        eventually(lambda: tasks.show(task.task_id).attempt == 2, timeout_s=60)
        at_work(system, task.task_id)
        started_by_it = evaluator.children(recursive=True)
        evaluator.kill()
        evaluator.wait(10)
        eventually(lambda: gone(started_by_it), timeout_s=30)
        assert tasks.show(task.task_id).state in ("running", "waiting")
        started.start()
        done = tasks.wait(task.task_id)
    assert done.attempt == 3
    assert without_cost(done.evaluation) == undisturbed
    ends = [
        each
        for each in system.records(EvaluationTask)
        if each.task_id == task.task_id and each.state == "done"
    ]
    assert len(ends) == 1


def test_an_evaluator_that_ends_in_order_gives_its_task_back_at_once(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    tasks = system.client.tasks
    with evaluators(system.environment, tmp_path) as started:
        started.start()
        task = tasks.request("slow", "run-1")
        at_work(system, task.task_id)
        started.end_all()
        assert tasks.show(task.task_id).state == "waiting"
        started.start()
        assert tasks.wait(task.task_id).attempt == 1


def test_a_version_that_is_deployed_no_longer_is_said_and_a_rerun_takes_the_new_one(
    system: AlgorithmSystem, tmp_path: Path
) -> None:
    tasks = system.client.tasks
    system.client.algorithms.deploy("random", name="other")
    task = tasks.request("other", "run-1")
    system.client.algorithms.deploy("always", name="other")
    with evaluators(system.environment, tmp_path) as started:
        started.start()
        failed = until(system, task.task_id, "failed")
        assert failed.reason.startswith("other@1 is deployed no longer: version 2 is by now")
        tasks.rerun(task.task_id)
        done = tasks.wait(task.task_id)
    assert (done.round, done.algorithm_version) == (2, 2)
    with pytest.raises(InvalidInput, match="no algorithm 'nobody' is deployed"):
        tasks.request("nobody")
