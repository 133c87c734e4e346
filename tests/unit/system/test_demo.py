from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from evaluated_run import WINDOWS, alarms, deployment, experiment, scores, start_us, truths

from microservo.client.client import Client
from microservo.domain.evaluation import RunEvaluation
from microservo.domain.window_policy import WindowPolicy
from microservo.log.publisher import Publisher
from microservo.log.run_records import write_run
from microservo.system import demo
from microservo.system.demo import Demo, DemoResult
from microservo.testing import MemoryBroker


class FakeSystem:
    """Stands for a system whose evaluator says its last word when it is stopped."""

    run_id = "run-1"
    fault_free_until_us = 0

    def __init__(self, *, judges: bool) -> None:
        self.broker = MemoryBroker()
        self.options = SimpleNamespace(policy=WindowPolicy(), topic_prefix="")
        self._judges = judges
        real = Client(broker=self.broker)
        real.topics.ensure(partitions=1)
        write_run(self.broker, experiment(), process="system", clock=lambda: start_us(0))
        datasets = SimpleNamespace(
            rebuild=lambda *_: SimpleNamespace(content_hash="a" * 64), verify=lambda _: ()
        )
        self.client = SimpleNamespace(
            faults=real.faults,
            algorithms=real.algorithms,
            board=real.board,
            datasets=datasets,
            campaigns=SimpleNamespace(run=lambda _plan, *, progress: None),
        )

    def finish_run(self) -> None: ...

    def stop_processes(self) -> None:
        if not self._judges:
            return
        evaluation = RunEvaluation(self.run_id)
        for record in (deployment("good"), *truths(), *scores("good"), *alarms("good")):
            evaluation.add(record)
        with self.broker.producer() as producer:
            publisher = Publisher(producer, "evaluator", prefix="", clock=lambda: start_us(WINDOWS))
            for found in evaluation.evaluations(at_us=start_us(WINDOWS), cost="batch", is_final=True):
                publisher.publish(found)
            publisher.flush(5)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "count_down", lambda *_: None)


def run(system: FakeSystem, progress: Any, folder: Path) -> DemoResult:
    return Demo(system, progress, plan=None, out_dir=folder).run()  # type: ignore[arg-type]


def test_a_demo_ends_with_the_board_that_the_evaluator_leaves_behind(progress: Any, tmp_path: Path) -> None:
    result = run(FakeSystem(judges=True), progress, tmp_path)
    (board,) = result.boards
    assert (board.scenario, [row.name for row in board.rows]) == ("run-1/detector", ["good@1"])
    assert board.is_final
    assert progress.stages[-1].texts == ["final"]


def test_a_demo_in_which_nobody_was_judged_has_its_dataset_and_says_why(
    progress: Any, tmp_path: Path
) -> None:
    result = run(FakeSystem(judges=False), progress, tmp_path)
    assert result.boards == ()
    assert result.content_hash == "a" * 64
    assert "no algorithm was judged in scenario 'run-1'" in progress.stages[-1].texts[0]
