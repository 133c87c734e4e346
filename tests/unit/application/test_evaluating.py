"""An algorithm on a recorded run: what a replay finds is what stands on the live board."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from scored_run import BEGIN_US, SERVICES, SIZE_US

from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.evaluating import EvaluateAlgorithm
from microservo.application.table import execute
from microservo.errors import InvalidInput
from microservo.log.reader import read_state
from microservo.runtime.shutdown import Shutdown
from microservo.testing import eventually
from schemas.catalogue import ALGORITHMS, EVALUATIONS, topic_of
from schemas.codec import encode
from schemas.files import record_name
from schemas.records import Alarm, Evaluation, FaultEffect, LabelledWindow, ServiceFault
from services.evaluator.service import run as run_evaluator
from services.evaluator.settings import EvaluatorSettings
from tests.unit.algorithm_host.harness import World

N_SIGMA = {"object": "shipped.n_sigma:NSigma", "features": "raw"}
WINDOWS = 100
ODD = (*range(50, 54), *range(70, 75))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    world = World(tmp_path)
    deployment = world.deploy(N_SIGMA)
    world.put(ALGORITHMS, b"a", encode(deployment))
    world.add_windows(range(WINDOWS), ODD)
    for number in range(WINDOWS):
        for at, service in enumerate(SERVICES):
            window = labelled(service, number)
            world.put("labelled-windows", service.encode(), encode(window), at % 2)
    for record in (*fault("one", 50, 54), *fault("two", 70, 75)):
        world.put(topic_of(record_name(type(record))).name, b"cart", encode(record))
    return world


def labelled(service: str, number: int) -> LabelledWindow:
    return LabelledWindow(
        run_id="run-1",
        service=service,
        start_us=BEGIN_US + number * SIZE_US,
        end_us=BEGIN_US + (number + 1) * SIZE_US,
        revision=0,
        names=(),
        values=(),
        labels=(),
        truth="anomalous" if service == "cart" and number in ODD else "normal",
    )


def fault(fault_id: str, first: int, behind: int) -> tuple[ServiceFault, FaultEffect]:
    begin_us, end_us = BEGIN_US + first * SIZE_US, BEGIN_US + behind * SIZE_US
    return (
        ServiceFault(
            run_id="run-1",
            fault_id=fault_id,
            version=1,
            kind="memory-hog",
            service="cart",
            root_service="cart",
            role="root_cause",
            hops=0,
            severity=1.0,
            requested_at_us=begin_us,
            relation="root",
            applied_at_us=begin_us,
            recovered_at_us=end_us,
        ),
        FaultEffect(
            run_id="run-1",
            fault_id=fault_id,
            service="cart",
            version=1,
            root_service="cart",
            relation="root",
            finding="visible",
            starts_us=(begin_us,),
            ends_us=(end_us,),
            is_open=False,
            through_us=end_us,
            is_final=True,
        ),
    )


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


def end_run(world: World) -> None:
    from microservo.log.run_records import update_run  # noqa: PLC0415

    finished_us = BEGIN_US + (WINDOWS + 5) * SIZE_US
    update_run(
        world.broker,
        "run-1",
        lambda run: replace(run, status="finished", finished_at_us=finished_us),
        process="system",
        clock=lambda: BEGIN_US,
    )


def without_cost(found: Evaluation) -> str:
    """To the last digit."""
    return repr(replace(found, cpu_us=0, peak_memory_bytes=0, latency_p99_us=None, updated_at_us=0))


def test_what_is_deployed_gets_from_a_replay_what_stands_on_the_live_board(world: World) -> None:
    on_board = live(world)
    assert on_board.is_final
    assert on_board.scored > 0
    replayed = evaluate(world, spec="a")
    assert without_cost(replayed) == without_cost(on_board)
    assert replayed.cpu_us > 0
    # Another threshold raises other alarms, but the scores and what they were given are the same.
    other = evaluate(world, spec="n-sigma", threshold=1e9)
    assert other.algorithm == "n-sigma"
    assert other.input_sha256 == replayed.input_sha256
    missed = other.values[other.metrics.index("missed_share")]
    assert (missed, replayed.values[replayed.metrics.index("missed_share")]) == (1.0, 0.0)


def test_a_part_of_a_run_is_judged_by_its_own_windows(world: World) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    def at(number: int) -> datetime:
        return datetime.fromtimestamp((BEGIN_US + number * SIZE_US) / 1e6, UTC)

    found = evaluate(world, spec="a", from_at=at(60), to_at=at(90))
    assert (found.windows, found.cases) == (30 * len(SERVICES), 1)


def test_a_run_that_is_not_there_and_one_that_nothing_is_known_of_are_refused(world: World) -> None:
    connection = Connection(broker=world.broker, topic_prefix="")
    with pytest.raises(InvalidInput, match="there is no run 'run-9'"):
        execute(EvaluateAlgorithm(spec="a", run_id="run-9"), Context(lambda: connection))


def test_a_ranker_is_asked_about_the_cases_of_the_run_and_of_the_oracle(world: World) -> None:
    from schemas.records import FaultVerdict  # noqa: PLC0415

    for fault_id in ("one", "two"):
        verdict = FaultVerdict(
            run_id="run-1",
            fault_id=fault_id,
            service="cart",
            version=1,
            verdict="confirmed",
            is_final=True,
            evidence="",
        )
        world.put("fault-effects", b"cart", encode(verdict))
    with world.host():
        eventually(lambda: len(world.records(Alarm)) == 4, timeout_s=60)
    found = evaluate(world, spec="most-deviating")
    values = dict(zip(found.metrics, found.values, strict=True))
    assert (values["ac_1"], values["chained_ac_1"]) == (1.0, 1.0)
