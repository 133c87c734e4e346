"""Algorithms that pass their checks and then do what they must not, deployed beside one that goes on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from algorithm_system import STARTED_WITHIN_S, AlgorithmSystem, algorithm_system, environments_of_tests
from scored_run import once

from microservo.errors import Unavailable
from microservo.supervision.fence import Fence
from microservo.testing import eventually

pytestmark = pytest.mark.integration

# Only the windows of the test have this feature: those of the checks have not.
BEHAVES_AT_FIRST = """
import os, time
{at_import}
def attack():
    {attack}

class Hostile:
    def __init__(self):
        self.mean, self.seen = {{}}, 0
    def score_one(self, x):
        if "log/severity/warn" in x and self.seen >= {behaves_for}:
            return attack()
        return sum(abs(value - self.mean.get(name, value)) for name, value in x.items())
    def learn_one(self, x):
        self.seen += "log/severity/warn" in x
        for name, value in x.items():
            self.mean[name] = self.mean.get(name, value) * 0.95 + value * 0.05
"""


@dataclass(frozen=True, slots=True)
class Hostile:
    """What it does, and what a person reads of it."""

    attack: str
    reason: str
    at_import: str = ""
    declared: Mapping[str, Any] = field(default_factory=dict)
    behaves_for: int = 60

    @property
    def code(self) -> str:
        return BEHAVES_AT_FIRST.format(
            at_import=self.at_import, attack=self.attack, behaves_for=self.behaves_for
        )


HOSTILE = {
    "raises": Hostile("raise ValueError('I will not')", "the algorithm raised ValueError: I will not"),
    "says-text": Hostile("return 'very odd'", "'very odd'"),
    "says-infinity": Hostile("return float('inf')", "an infinite score"),
    "hangs": Hostile("time.sleep(10_000)", "no answer in time", declared={"deadline": 2}),
    "forks": Hostile("[os.fork() for _ in range(10_000)]", "its fence allows processes: "),
    "fills-disk": Hostile(
        "open('/state/x', 'wb').write(bytes(1 << 28))",
        "its fence allows disk: 8388608 bytes",
        declared={"disk": "8M"},
    ),
    "allocates": Hostile(
        "kept = [bytearray(1 << 22) for _ in iter(int, 1)]",
        "it may have 200 MiB",
        declared={"memory": "200M"},
    ),
    "prints": Hostile("[print('x' * (1 << 20)) for _ in range(1024)]", "bytes to stderr; it may write"),
    "deletes-its-code": Hostile("os.unlink(__file__)", "Device or resource busy"),
    "sleeps-at-import": Hostile("return 0.0", "it can be opened: no answer", at_import="time.sleep(10_000)"),
}
NEVER_READY = Hostile("return float('nan')", "", behaves_for=0)


@pytest.fixture(scope="module")
def system(
    kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AlgorithmSystem]:
    """All of them, with N-sigma, which scores what comes meanwhile."""
    try:
        Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("hostile")
    prefix = f"test-{uuid.uuid4().hex[:12]}-"
    with algorithm_system(kafka_bootstrap_servers, prefix, folder, environments_of_tests()) as system:
        system.client.algorithms.deploy("n-sigma")
        for name, hostile in {**HOSTILE, "never-ready": NEVER_READY}.items():
            path = folder / f"{name}.py".replace("-", "_")
            path.write_text(hostile.code)
            system.client.algorithms.deploy(str(path), name=name, **hostile.declared)
        running = ("n-sigma", "never-ready", *HOSTILE.keys() - {"sleeps-at-import"})
        for name in running:
            system.until_state("running", f"{name}@1")
        numbers = system.numbers(60)
        system.add_windows(numbers)
        for name in running:
            system.until_scored(name, numbers)
        # A call may take its deadline for each window that it gets, so it gets few at a time.
        system.add_windows(system.numbers(8))
        yield system


@pytest.mark.parametrize("name", HOSTILE)
def test_what_does_harm_is_started_again_and_then_has_failed_with_a_reason(
    system: AlgorithmSystem, name: str
) -> None:
    state = system.until_state("failed", f"{name}@1")
    assert HOSTILE[name].reason in state.reason
    assert "Traceback" not in state.reason
    assert name == "sleeps-at-import" or state.reason.startswith("it broke down 5 times, the last time so: ")
    if name != "sleeps-at-import":
        assert state.restarts == 4
        assert set(system.scored(name).values()) == {1}
    eventually(lambda: not system.hosts(f"{name}@1"), timeout_s=30)


def test_one_that_is_never_ready_runs_on_and_says_so(system: AlgorithmSystem) -> None:

    def said() -> str:
        state = system.state("never-ready@1")
        return state.reason if state else ""

    system.add_windows(system.numbers(30))
    # So far it has said that there is no threshold.
    eventually(lambda: said().startswith("it was never ready in "), timeout_s=STARTED_WITHIN_S)
    system.until_state("running", "never-ready@1")


def test_all_the_while_another_one_scores_every_window_once(system: AlgorithmSystem) -> None:
    for name in HOSTILE:
        system.until_state("failed", f"{name}@1")
    numbers = system.numbers(20)
    system.add_windows(numbers)
    system.until_scored("n-sigma", numbers)
    assert system.scored("n-sigma") == once(range(numbers[-1] + 1))
    state = system.state("n-sigma@1")
    assert state is not None
    assert (state.phase, state.restarts) == ("running", 0)
    # All that is to be said of it is how little fault-free time there was.
    assert state.reason == "" or (" scores " in state.reason and " in fault-free time" in state.reason)
