"""The evaluator at evaluation tasks: processes that a test plays, on a broker in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from evaluated_run import deployment, experiment, scores, start_us, truths

from microservo.adapters.broker import Consumer
from microservo.application.evaluation_tasks import TaskStatus
from microservo.client.client import Client
from microservo.domain.evaluation import RunEvaluation
from microservo.domain.evaluation_tasks import Outcome
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.log.publisher import Publisher
from microservo.log.reader import read_topic
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.runtime.shutdown import Shutdown
from microservo.supervision.process import ProcessSpec
from microservo.testing import MemoryBroker, eventually
from schemas.catalogue import EVALUATION_REQUESTS
from schemas.codec import decode_as, encode
from schemas.records import Evaluation, EvaluationRequest
from services.evaluator.service import run
from services.evaluator.settings import EvaluatorSettings
from services.evaluator.task_files import TaskFiles, TaskProgress
from services.evaluator.task_processes import TaskProcesses, remove_leftovers


class PlayedProcesses:
    """Processes of which a test says what they do."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.alive: dict[str, int | None] = {}
        self.problem: MicroServoError | None = None

    def start(self, spec: ProcessSpec) -> None:
        if self.problem is not None:
            raise self.problem
        self.folders[spec.name] = Path(spec.env["MICROSERVO_TASK_FOLDER"])
        self.alive[spec.name] = 1

    def stop(self, name: str) -> None:
        del self.alive[name]

    def pids(self) -> dict[str, int | None]:
        return dict(self.alive)

    def until_started(self, count: int = 1) -> TaskFiles:
        """Waits for the process of an attempt."""
        eventually(lambda: len(self.folders) >= count, timeout_s=20, what="a process")
        return TaskFiles(self.folders[list(self.folders)[count - 1]])

    def end(self, files: TaskFiles, outcome: Outcome | None) -> None:
        """The newest one ends; without an outcome it was killed."""
        if outcome is not None:
            files.end(outcome)
        self.alive[list(self.folders)[-1]] = None


class World:
    """A broker with a run on it, and a deployed algorithm."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.admin().ensure_topics(topic_specs(prefix="", partitions=2))
        write_run(self.broker, experiment(), process="system", clock=lambda: 1)
        self.processes = PlayedProcesses()
        self.client = Client(broker=self.broker)
        self.deploy(1)

    def deploy(self, version: int) -> None:
        with self.broker.producer() as producer:
            value = encode(replace(deployment("good"), version=version))
            producer.send("algorithms", key=b"good", value=value)
            producer.flush(5)

    @contextmanager
    def evaluator(self) -> Iterator[None]:
        shutdown, errors = Shutdown(signals=()), list[BaseException]()

        def body() -> None:
            try:
                run(
                    EvaluatorSettings(run_id="run-1", board_interval_s=0.05),
                    shutdown,
                    broker=self.broker,
                    processes=self.processes,
                )
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        try:
            yield
        finally:
            shutdown.request()
            thread.join(60)
            assert not thread.is_alive()
        if errors:
            raise errors[0]

    def requests(self) -> list[EvaluationRequest]:
        """What was asked for."""
        messages = read_topic(self.broker, EVALUATION_REQUESTS)
        return [decode_as(EvaluationRequest, each.value or b"") for each in messages]

    def until(self, task: TaskStatus, state: str) -> TaskStatus:
        def reached() -> TaskStatus | None:
            found = self.client.tasks.show(task.task_id)
            return found if found.state == state else None

        found = eventually(reached, timeout_s=20, what=f"the task to be {state}")
        assert found is not None
        return found


@pytest.fixture
def world() -> World:
    return World()


def result() -> Evaluation:
    evaluation = RunEvaluation("run-1")
    for record in (deployment("good"), *truths(), *scores("good")):
        evaluation.add(record)
    (found,) = evaluation.evaluations(at_us=start_us(0), cost="batch", is_final=True)
    return found


def test_a_task_is_worked_on_and_what_came_of_it_stands_on_the_board(world: World) -> None:
    tasks = world.client.tasks
    task = tasks.request("good", "run-1")
    assert (task.state, task.evaluation) == ("waiting", None)
    with world.evaluator():
        files = world.processes.until_started()
        assert files.request().algorithm_version == 1
        files.tell(40, 100, is_paused=False)
        eventually(lambda: tasks.show(task.task_id).windows_done == 40, timeout_s=20)
        assert tasks.show(task.task_id).state == "running"
        expected = result()
        world.processes.end(files, Outcome(evaluation=encode(expected)))
        done = tasks.wait(task.task_id)
    assert repr(done.evaluation) == repr(expected)
    (board,) = world.client.board.show("run-1")
    assert [row.name for row in board.rows] == ["good@1"]
    assert world.processes.alive == {}


def test_what_was_scored_live_counts_more_on_the_board_than_what_a_task_found(world: World) -> None:
    task = world.client.tasks.request("good", "run-1")
    with world.evaluator():
        files = world.processes.until_started()
        world.processes.end(files, Outcome(evaluation=encode(replace(result(), scored=1))))
        world.until(task, "done")
    with world.broker.producer() as producer:
        publisher = Publisher(producer, "evaluator", prefix="", clock=lambda: start_us(0))
        publisher.publish(result())
        publisher.flush(5)
    (board,) = world.client.board.show("run-1")
    assert [row.evaluation.scored for row in board.rows] == [result().scored]


def test_an_algorithm_that_breaks_down_fails_its_task_with_the_reason(world: World) -> None:
    task = world.client.tasks.request("good", "run-1")
    with world.evaluator():
        files = world.processes.until_started()
        world.processes.end(files, Outcome(reason="it raised ValueError"))
        assert world.until(task, "failed").reason == "it raised ValueError"
        with pytest.raises(MicroServoError, match="is failed: it raised ValueError"):
            world.client.tasks.wait(task.task_id)
        world.client.tasks.rerun(task.task_id)
        world.processes.until_started(2)
        assert world.until(task, "running").round == 2


@pytest.mark.parametrize("outcome", [None, Outcome(reason="the broker is away", is_final=False)])
def test_a_process_that_is_killed_is_started_anew(world: World, outcome: Outcome | None) -> None:
    task = world.client.tasks.request("good", "run-1")
    with world.evaluator():
        world.processes.end(world.processes.until_started(), outcome)
        files = world.processes.until_started(2)
        world.processes.end(files, Outcome(evaluation=encode(result())))
        assert world.until(task, "done").attempt == 2


def test_what_can_not_be_started_here_is_given_up_in_the_end(world: World) -> None:
    world.processes.problem = Unavailable("no more processes")
    task = world.client.tasks.request("good", "run-1")
    with world.evaluator():
        failed = world.until(task, "failed")
    assert failed.reason.endswith("the last time: no process could be started for it")


def test_a_pause_is_told_once_nothing_is_done_any_more(world: World) -> None:
    tasks = world.client.tasks
    task = tasks.request("good", "run-1")
    with world.evaluator():
        files = world.processes.until_started()
        world.until(task, "running")
        tasks.pause(task.task_id)
        eventually(lambda: files.shall_pause, timeout_s=20)
        assert tasks.show(task.task_id).state == "running"
        files.tell(10, 100, is_paused=True)
        assert world.until(task, "paused").windows_done == 10
        # A paused task takes nobody's place.
        other = tasks.request("good", "run-1")
        world.processes.end(world.processes.until_started(2), Outcome(evaluation=encode(result())))
        world.until(other, "done")
        tasks.resume(task.task_id)
        world.until(task, "running")
        assert not files.shall_pause


def test_one_task_is_worked_on_at_a_time_and_an_interruption_needs_no_turn(world: World) -> None:
    tasks = world.client.tasks
    first, second = tasks.request("good", "run-1"), tasks.request("good", "run-1")
    with world.evaluator():
        world.processes.until_started()
        world.until(first, "running")
        assert tasks.show(second.task_id).state == "waiting"
        tasks.interrupt(second.task_id)
        eventually(lambda: tasks.show(second.task_id).holder, timeout_s=20)
        tasks.interrupt(first.task_id)
        eventually(lambda: not world.processes.alive, timeout_s=20)
        world.until(first, "interrupted")
    assert len(world.processes.folders) == 1


def test_an_evaluator_that_ends_gives_its_task_back_and_the_next_one_begins_it_anew(world: World) -> None:
    task = world.client.tasks.request("good", "run-1")
    with world.evaluator():
        world.processes.until_started()
        world.until(task, "running")
    assert world.client.tasks.show(task.task_id).state == "waiting"
    with world.evaluator():
        files = world.processes.until_started(2)
        world.processes.end(files, Outcome(evaluation=encode(result())))
        assert world.until(task, "done").attempt == 1


def test_a_task_that_is_done_is_not_begun_again_by_the_next_evaluator(world: World) -> None:
    task = world.client.tasks.request("good", "run-1")
    with world.evaluator():
        world.processes.end(world.processes.until_started(), Outcome(evaluation=encode(result())))
        world.until(task, "done")
    other = world.client.tasks.request("good", "run-1")
    with world.evaluator():
        world.processes.until_started(2)
        world.until(other, "running")
    assert world.client.tasks.show(task.task_id).attempt == 1


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda tasks: tasks.request("nobody", "run-1"),
            "no algorithm 'nobody' is deployed; there are: good",
        ),
        (lambda tasks: tasks.request("good", "run-9"), "there is no run 'run-9'"),
        (lambda tasks: tasks.pause("x"), "there is no evaluation task 'x'; the newest are: none yet"),
        (
            lambda tasks: tasks.request(
                "good",
                "run-1",
                from_at=datetime(2026, 1, 2, tzinfo=UTC),
                to_at=datetime(2026, 1, 1, tzinfo=UTC),
            ),
            "there is no time; give an end behind the begin",
        ),
    ],
)
def test_what_can_not_be_asked_for_is_refused_and_nothing_sent(
    world: World, ask: Callable[[object], object], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        ask(world.client.tasks)
    assert world.client.tasks.list() == ()


def test_a_rerun_takes_the_version_that_is_deployed_by_then(world: World) -> None:
    tasks = world.client.tasks
    task = tasks.request("good", "run-1")
    world.deploy(2)
    assert tasks.show(task.task_id).algorithm_version == 1
    assert tasks.rerun(task.task_id).algorithm_version == 2


def test_who_waits_for_a_task_reads_what_is_there_once_and_follows_from_then_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = world.client.tasks.request("good", "run-1")
    consumers: list[object] = []
    found: list[TaskStatus] = []
    waiting = Client(broker=world.broker)
    thread = threading.Thread(target=lambda: found.append(waiting.tasks.wait(task.task_id)), daemon=True)
    with world.evaluator():
        files = world.processes.until_started()
        consumer = world.broker.consumer

        def counted(**options: Any) -> Consumer:
            consumers.append(options)
            return consumer(**options)

        monkeypatch.setattr(world.broker, "consumer", counted)
        thread.start()
        for number in range(10):
            files.tell(number, 10, is_paused=False)
            time.sleep(0.2)
        world.processes.end(files, Outcome(evaluation=encode(result())))
        thread.join(20)
        assert found[0].state == "done"
        assert len(consumers) == 2, "one to look whether there is such a task, one to follow it"


def test_a_process_that_is_paused_does_nothing_until_it_may_go_on(tmp_path: Path) -> None:
    files = TaskFiles(tmp_path)
    progress = TaskProgress(files)
    files.pause()
    steps: list[int] = []

    def body() -> None:
        with progress.stage("windows") as stage:
            for number in range(3):
                steps.append(number)
                stage.advance(number, 3)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    eventually(lambda: files.work("a", has_ended=False).is_paused, timeout_s=10)
    assert steps == []
    files.resume()
    thread.join(10)
    assert steps == [0, 1, 2]
    work = files.work("a", has_ended=True)
    assert (work.windows_done, work.is_paused) == (0, False)
    assert work.outcome == Outcome(reason="its process ended in the middle", is_final=False)


def test_what_killed_attempts_left_is_removed_and_nothing_of_the_user(tmp_path: Path) -> None:
    left, mine = tmp_path / "n-sigma-ab12" / "e-0" / "request", tmp_path / "thesis" / "draft" / "chapter.md"
    for path in (left, mine):
        path.parent.mkdir(parents=True)
        path.write_text("")
    remove_leftovers(tmp_path)
    assert not left.parent.exists()
    assert mine.exists()


def test_an_evaluator_that_begins_leaves_alone_what_another_one_works_on_in_the_same_folder(
    world: World, tmp_path: Path
) -> None:
    task = world.client.tasks.request("good", "run-1")
    asked = world.requests()[0]
    first = TaskProcesses(tmp_path, "evaluator-1", PlayedProcesses(), {})
    first.start(task.task_id, "attempt-1", asked)
    remove_leftovers(tmp_path)
    second = TaskProcesses(tmp_path, "evaluator-2", PlayedProcesses(), {})
    second.start(task.task_id, "attempt-2", asked)
    second.stop(task.task_id)
    (folder,) = (tmp_path / task.task_id).iterdir()
    assert TaskFiles(folder).request() == asked
    first.stop(task.task_id)
    assert list((tmp_path / task.task_id).iterdir()) == []
