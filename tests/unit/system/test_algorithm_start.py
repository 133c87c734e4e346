from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microservo.client import Client
from microservo.system.algorithm_start import wait_for_algorithms
from microservo.testing import MemoryBroker
from schemas.catalogue import ALGORITHM_STATES
from schemas.codec import decode_as, encode
from schemas.examples import example_bytes
from schemas.records import AlgorithmState

NAMES = ("n-sigma", "half-space-trees")


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker()
    client = Client(broker=broker)
    client.topics.ensure(partitions=1)
    for name in NAMES:
        client.algorithms.deploy(name)
    return broker


def put(broker: MemoryBroker, name: str, phase: str, reason: str = "", run_id: str = "run-1") -> None:
    example = decode_as(AlgorithmState, next(iter(example_bytes()["algorithm_state", 1].values())))
    fields: dict[str, Any] = {"algorithm": name, "algorithm_version": 1, "deployment_id": f"{name}@1"}
    fields |= {"phase": phase, "reason": reason, "run_id": run_id}
    with broker.producer() as producer:
        state = replace(example, **fields)
        producer.send(ALGORITHM_STATES, key=state.deployment_id.encode(), value=encode(state))


def test_it_is_over_when_all_run(broker: MemoryBroker, progress: Any) -> None:
    for name in NAMES:
        put(broker, name, "running")
    wait_for_algorithms(Client(broker=broker), "run-1", NAMES, 30, progress)
    (stage,) = progress.stages
    assert (stage.title, stage.texts[-1]) == ("algorithms", "2 of 2 run")
    assert progress.notes == []


def test_one_whose_environment_can_not_be_built_is_said_and_the_others_go_on(
    broker: MemoryBroker, progress: Any
) -> None:
    put(broker, "n-sigma", "running")
    put(broker, "half-space-trees", "failed", "the environment can't be built: no route\nto host")
    wait_for_algorithms(Client(broker=broker), "run-1", NAMES, 30, progress)
    assert progress.stages[0].texts[-1] == "1 of 2 run"
    assert progress.notes == [
        "half-space-trees does not run: the environment can't be built: no route to host; going on without it"
    ]


def test_what_takes_too_long_is_not_waited_for(broker: MemoryBroker, progress: Any) -> None:
    put(broker, "n-sigma", "building")
    put(broker, "half-space-trees", "running", run_id="an earlier run")
    wait_for_algorithms(Client(broker=broker), "run-1", NAMES, 0, progress)
    assert progress.notes == [
        "n-sigma does not run: it is still building; going on without it",
        "half-space-trees does not run: nothing is heard of it; going on without it",
    ]
