"""An algorithm on a recorded run: what a replay finds is what stands on the live board."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import odd_run
import pytest
from judged_run import ODD, WINDOWS, add_truth, end_run
from odd_run import bits_of, score_of
from scored_run import BEGIN_US, SERVICES, SIZE_US

from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.evaluating import EvaluateAlgorithm
from microservo.application.table import execute
from microservo.domain.system_rows import SETTLES_WINDOWS
from microservo.errors import InvalidInput
from microservo.log.reader import read_state
from microservo.runtime.shutdown import Shutdown
from microservo.testing import eventually
from schemas.catalogue import ALGORITHMS, EVALUATIONS
from schemas.codec import encode
from schemas.records import Alarm, Evaluation
from services.evaluator.service import run as run_evaluator
from services.evaluator.settings import EvaluatorSettings
from tests.unit.algorithm_host.harness import World

N_SIGMA = {"object": "shipped.n_sigma:NSigma", "features": "raw"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    world = World(tmp_path)
    deployment = world.deploy(N_SIGMA)
    world.put(ALGORITHMS, b"a", encode(deployment))
    world.add_windows(range(WINDOWS), ODD)
    add_truth(world)
    return world


def evaluate(world: World, **command: object) -> Evaluation:
    connection = Connection(broker=world.broker, topic_prefix="")
    context = Context(lambda: connection)
    return execute(EvaluateAlgorithm(run_id="run-1", is_fenced=False, **command), context)  # type: ignore[arg-type]


def live(world: World) -> Evaluation:
    """The final evaluation of an evaluator that followed the run."""
    shutdown = Shutdown(signals=())
    settings = EvaluatorSettings(run_id="run-1", board_interval_s=0.1)
    thread = threading.Thread(
        target=run_evaluator, args=(settings, shutdown), kwargs={"broker": world.broker}
    )
    thread.start()
    try:
        with world.host():
            eventually(lambda: len(world.records(Alarm)) == 4, timeout_s=60, what="two alarms and their ends")
        end_run(world)
    finally:
        shutdown.request()
        thread.join(60)
    (found,) = read_state(world.broker, EVALUATIONS, Evaluation).values()
    return found


def without_cost(found: Evaluation) -> str:
    """To the last digit."""
    return repr(replace(found, cpu_us=0, peak_memory_bytes=0, latency_p99_us=None, updated_at_us=0))


def missed_share(found: Evaluation) -> float:
    return found.values[found.metrics.index("missed_share")]


def test_what_is_deployed_gets_from_a_replay_what_stands_on_the_live_board(world: World) -> None:
    on_board = live(world)
    assert on_board.is_final
    assert on_board.scored > 0
    replayed = evaluate(world, spec="a")
    assert without_cost(replayed) == without_cost(on_board)
    assert replayed.cpu_us > 0
    # Another threshold raises other alarms, but the scores and what they were given are the same.
    assert missed_share(replayed) == 0.0
    for spec in ("a", "n-sigma"):
        other = evaluate(world, spec=spec, threshold=1e9)
        assert other.algorithm == spec
        assert other.input_sha256 == replayed.input_sha256
        assert missed_share(other) == 1.0


def test_a_part_of_a_run_is_judged_by_its_own_windows(world: World) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    def at(number: int) -> datetime:
        return datetime.fromtimestamp((BEGIN_US + number * SIZE_US) / 1e6, UTC)

    found = evaluate(world, spec="a", from_at=at(60), to_at=at(90))
    assert (found.windows, found.cases) == (30 * len(SERVICES), 1)
    begin, end = at(60).isoformat().replace("+00:00", "Z"), at(90).isoformat().replace("+00:00", "Z")
    assert found.scenario == f"run-1[{begin}..{end}]/detector"


def test_a_run_that_is_not_there_and_one_that_nothing_is_known_of_are_refused(world: World) -> None:
    connection = Connection(broker=world.broker, topic_prefix="")
    with pytest.raises(InvalidInput, match="there is no run 'run-9'"):
        execute(EvaluateAlgorithm(spec="a", run_id="run-9"), Context(lambda: connection))


def test_a_ranker_is_asked_about_the_cases_of_the_run_and_of_the_oracle(world: World) -> None:
    with world.host():
        eventually(lambda: len(world.records(Alarm)) == 4, timeout_s=60)
    found = evaluate(world, spec="most-deviating")
    values = dict(zip(found.metrics, found.values, strict=True))
    assert (values["ac_1"], values["chained_ac_1"]) == (1.0, 1.0)


def test_a_run_that_goes_on_gets_no_final_evaluation(world: World) -> None:
    assert not evaluate(world, spec="a").is_final
    end_run(world)
    assert evaluate(world, spec="a").is_final


def test_another_version_than_the_one_that_was_asked_for_is_refused(world: World) -> None:
    assert evaluate(world, spec="a", version=1).algorithm_version == 1
    with pytest.raises(InvalidInput, match="a@2 is deployed no longer: version 1 is by now"):
        evaluate(world, spec="a", version=2)
    with pytest.raises(InvalidInput, match="n-sigma@1 is deployed no longer: nothing is"):
        evaluate(world, spec="n-sigma", version=1)


def test_the_progress_counts_windows(world: World) -> None:
    from microservo.application.progress import CallbackProgress  # noqa: PLC0415

    seen: list[tuple[float, float]] = []
    connection = Connection(broker=world.broker, topic_prefix="")
    progress = CallbackProgress(lambda done, total: seen.append((done, total)))
    context = Context(lambda: connection, progress=progress)
    execute(EvaluateAlgorithm(spec="a", run_id="run-1", is_fenced=False), context)
    total = WINDOWS * len(SERVICES)
    assert seen[-1] == (total, total)


@pytest.mark.parametrize("per", ["service", "system"])
def test_each_score_that_was_given_live_is_given_by_a_replay_bit_for_bit(
    per: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    world = World(tmp_path)
    world.put(ALGORITHMS, b"a", encode(world.deploy({**N_SIGMA, "per": per})))
    behind = max(odd_run.BEHIND.values()) if per == "system" else 0
    with world.host():
        world.until("running")
        # What comes at once is read by partition, so that one is far ahead of the other.
        for begin in range(0, odd_run.WINDOWS, 7):
            numbers = range(begin, min(begin + 7, odd_run.WINDOWS))
            odd_run.send(world, numbers)
            if numbers[-1] - behind >= SETTLES_WINDOWS:
                last_us = BEGIN_US + (numbers[-1] - behind) * SIZE_US
                eventually(partial(_is_scored, world, last_us), timeout_s=60)
    add_truth(world)
    answers = tmp_path / "answers.jsonl"
    evaluate(world, spec="a", answers=answers)
    said = [json.loads(line) for line in answers.read_text().splitlines()]
    again = bits_of(score_of(each["record"]) for each in said if each["type"] == "AnomalyScore")
    live = bits_of(world.scores("a"))
    assert {len(values) for values in live.values()} == {1}
    assert live.keys() == again.keys()
    assert [key for key in live if live[key] != again[key]] == []
    assert len({score for values in live.values() for score, _ in values}) > len(live) // 2


def _is_scored(world: World, start_us: int) -> bool:
    return any(each.start_us >= start_us for each in world.scores("a"))
