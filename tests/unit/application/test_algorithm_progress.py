from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from microservo.application.algorithm_progress import WaitForAlgorithm
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.table import execute
from microservo.client import Client
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.testing import MemoryBroker
from schemas.catalogue import ALGORITHM_STATES
from schemas.codec import decode_as, encode
from schemas.examples import example_bytes
from schemas.records import AlgorithmState

WAIT = WaitForAlgorithm(name="n-sigma")


class Stages:
    """Progress that keeps titles and texts."""

    def __init__(self) -> None:
        self.titles: list[str] = []
        self.texts: list[str] = []

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[Stages]:
        self.titles.append(title)
        yield self

    def advance(self, done: float, total: float) -> None: ...

    def show(self, text: str) -> None:
        self.texts.append(text)

    def note(self, text: str) -> None: ...


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    client = Client(broker=broker)
    client.topics.ensure(partitions=1)
    client.algorithms.deploy("n-sigma")
    return broker


@pytest.fixture
def stages() -> Stages:
    return Stages()


@pytest.fixture
def context(broker: MemoryBroker, stages: Stages) -> Context:
    return Context(lambda: Connection(broker=broker, topic_prefix="")).with_progress(stages)


def state(phase: str, **changes: Any) -> AlgorithmState:
    example = next(iter(example_bytes()["algorithm_state", 1].values()))
    fields = {
        "deployment_id": "n-sigma@1",
        "algorithm": "n-sigma",
        "algorithm_version": 1,
        "phase": phase,
        "reason": "",
        "latency_p50_us": None,
        "updated_at_us": time.time_ns() // 1000,
    }
    return replace(decode_as(AlgorithmState, example), **{**fields, **changes})


def put(broker: MemoryBroker, *states: AlgorithmState, pause_s: float = 0.0) -> None:
    with broker.producer() as producer:
        for each in states:
            time.sleep(pause_s)
            producer.send(ALGORITHM_STATES, key=each.deployment_id.encode(), value=encode(each))


@contextlib.contextmanager
def coming(broker: MemoryBroker, *states: AlgorithmState) -> Iterator[None]:
    """The states of a host that goes on meanwhile."""
    thread = threading.Thread(target=put, args=(broker, *states), kwargs={"pause_s": 0.3})
    thread.start()
    yield
    thread.join()


def test_each_phase_is_a_stage_and_the_last_ends_with_a_score_of_a_new_window(
    broker: MemoryBroker, context: Context, stages: Stages
) -> None:
    states = [state(phase) for phase in ("building", "checking", "learning", "running")]
    with coming(broker, *states, state("running", latency_p50_us=35_000)):
        found = execute(WAIT, context)
    assert found.latency_p50_us == 35_000
    assert stages.titles == [
        "n-sigma: its environment",
        "n-sigma: its checks",
        "n-sigma: what the run was so far",
        "n-sigma: first score of a new window",
    ]


def test_what_runs_already_is_not_waited_for(broker: MemoryBroker, context: Context, stages: Stages) -> None:
    put(broker, state("running", latency_p50_us=35_000))
    assert execute(WAIT, context).phase == "running"
    assert stages.titles == []


def test_a_breakdown_is_shown_while_it_is_waited_for(
    broker: MemoryBroker, context: Context, stages: Stages
) -> None:
    reason = "broke down and was started again: killed by its limit of memory"
    with coming(broker, state("learning", reason=reason), state("running", latency_p50_us=1)):
        execute(WAIT, context)
    assert reason in stages.texts


@pytest.mark.parametrize("is_known", [True, False])
def test_a_failure_ends_the_waiting_with_its_reason(
    broker: MemoryBroker, context: Context, *, is_known: bool
) -> None:
    failed = state("failed", reason="it fails 1 of 10 checks")
    with contextlib.ExitStack() as stack:
        if is_known:
            put(broker, failed)
        else:
            stack.enter_context(coming(broker, failed))
        with pytest.raises(
            MicroServoError, match=r"n-sigma@1 is failed: it fails 1 of 10 checks; .* logs n-sigma"
        ):
            execute(WAIT, context)


def test_states_from_before_the_deployment_say_nothing(
    broker: MemoryBroker, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microservo.application.algorithm_progress._SILENCE_S", 0.3)
    put(broker, state("failed", updated_at_us=1))
    with pytest.raises(Unavailable, match=r"nothing is heard of n-sigma@1 .*does the algorithm runner run"):
        execute(WAIT, context)


def test_what_is_not_deployed_or_stopped_is_not_waited_for(broker: MemoryBroker, context: Context) -> None:
    with pytest.raises(InvalidInput, match="no algorithm 'other' is deployed"):
        execute(WaitForAlgorithm(name="other"), context)
    Client(broker=broker).algorithms.stop("n-sigma")
    with pytest.raises(InvalidInput, match="no algorithm 'n-sigma' is wanted to run"):
        execute(WAIT, context)


def test_a_ranker_is_ready_when_it_runs(broker: MemoryBroker, context: Context) -> None:
    Client(broker=broker).algorithms.deploy("multi-signal")
    ranker = replace(state("running"), deployment_id="multi-signal@1", algorithm="multi-signal")
    put(broker, ranker)
    assert execute(WaitForAlgorithm(name="multi-signal"), context).phase == "running"
