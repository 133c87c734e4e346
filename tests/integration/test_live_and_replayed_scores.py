"""Each score of a live run is what a replay through the same fence gives, bit for bit.

The run is as odd as runs are, and two of its algorithms are killed in the middle.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from algorithm_system import AlgorithmSystem, algorithm_system, environments_of_tests
from judged_run import fault_records, labelled
from odd_run import BEHIND, FAULT, PLACES, WINDOWS, bits_of, score_of, send
from scored_run import BEGIN_US, SIZE_US

from microservo.adapters.processes import child_environment
from microservo.domain.system_rows import SETTLES_WINDOWS
from microservo.errors import Unavailable
from microservo.supervision.fence import Fence
from microservo.testing import eventually
from schemas.catalogue import topic_of
from schemas.codec import encode
from schemas.files import record_name
from schemas.records import Alarm, AnomalyScore, RootCause

pytestmark = pytest.mark.integration

BY_CHANCE = """
import math
import random

class ByChance:
    def __init__(self) -> None:
        self.levels, self.chance = {}, 0.0

    def score_one(self, x):
        apart = [abs(math.log1p(abs(x[name])) - level) for name, level in self.levels.items() if name in x]
        return math.fsum(apart) + self.chance

    def learn_one(self, x) -> None:
        self.chance = 0.01 * random.random()
        for name, value in x.items():
            found = math.log1p(abs(value))
            self.levels[name] = 0.9 * self.levels.get(name, found) + 0.1 * found
"""
DETECTORS = ("n-sigma", "half-space-trees", "by-chance", "of-the-system")


def add_truth(system: AlgorithmSystem) -> None:
    """Labels, and a fault, so that there is something to judge by and to ask rankers about."""
    records: list[Any] = [
        labelled(service, number, odd=range(*FAULT)) for service in PLACES for number in range(WINDOWS)
    ]
    with system.broker.producer() as producer:
        for record in (*records, *fault_records("one", *FAULT)):
            producer.send(
                system.prefix + topic_of(record_name(type(record))).name,
                key=record.service.encode(),
                value=encode(record),
                headers=(("run", b"run-1"),),
                partition=PLACES[record.service],
            )
        producer.flush(30)


@pytest.fixture(scope="module")
def system(
    kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AlgorithmSystem]:
    """A run that four detectors, of which two were killed in the middle, and a ranker followed."""
    try:
        Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("scores")
    (folder / "by_chance.py").write_text(BY_CHANCE)
    environments = environments_of_tests()
    environments.mkdir(parents=True, exist_ok=True)
    (folder / "environments").symlink_to(environments)
    with algorithm_system(
        kafka_bootstrap_servers,
        f"scores-{uuid.uuid4().hex[:12]}-",
        folder,
        environments,
        MICROSERVO_HOME=str(folder),
    ) as system:
        deploy = system.client.algorithms.deploy
        for name in ("n-sigma", "half-space-trees", "most-deviating"):
            deploy(name)
        deploy(str(folder / "by_chance.py"), name="by-chance")
        deploy(str(folder / "by_chance.py"), name="of-the-system", per="system")
        for name in (*DETECTORS, "most-deviating"):
            system.until_state("running", f"{name}@1")
        for begin in range(0, WINDOWS, 7):
            send(system, range(begin, min(begin + 7, WINDOWS)))
            until_all(system, begin)
            if begin == 70:
                system.child("by-chance@1").kill()
                system.host("n-sigma@1").kill()
        add_truth(system)
        until_all(system, WINDOWS - 1)
        eventually(
            lambda: any(each.closed_us for each in system.records(Alarm)), timeout_s=60, what="an alarm's end"
        )
        eventually(lambda: system.records(RootCause), timeout_s=60, what="the causes of an alarm")
        yield system


def until_all(system: AlgorithmSystem, number: int) -> None:
    """Waits until each detector has scored the window of some service with this number."""
    for name in DETECTORS:
        # The whole system is scored when the slow service is there, too, and not before all are known.
        last = number - BEHIND["slow"] if name == "of-the-system" else number
        if name == "of-the-system" and last < SETTLES_WINDOWS:
            continue

        def is_there(name: str = name, last: int = last) -> bool:
            return any(each.start_us >= BEGIN_US + last * SIZE_US for each in system.scores(name))

        eventually(is_there, timeout_s=180, interval_s=0.3, what=f"a score of {name} in window {last}")


def replayed(system: AlgorithmSystem, algorithm: str, folder: Path, kind: str) -> list[dict[str, Any]]:
    """What `algorithm evaluate` writes of a kind of record."""
    answers = folder / "answers.jsonl"
    command = [str(Path(sys.executable).with_name("microservo")), "--topic-prefix", system.prefix]
    command += ["algorithm", "evaluate", algorithm, "--run", "run-1", "--answers", str(answers)]
    result = subprocess.run(
        command,
        env=child_environment(system.environment),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    return [each["record"] for each in lines if each["type"] == kind]


@pytest.mark.parametrize("name", DETECTORS)
def test_every_score_that_was_given_live_is_given_by_a_replay_bit_for_bit(
    system: AlgorithmSystem, name: str, tmp_path: Path
) -> None:
    again = bits_of(map(score_of, replayed(system, name, tmp_path, "AnomalyScore")))
    live = bits_of(each for each in system.records(AnomalyScore) if each.algorithm == name)
    assert {len(values) for values in live.values()} == {1}, "a window has two scores"
    assert live.keys() == again.keys()
    assert [key for key in live if live[key] != again[key]] == []
    assert len({score for values in live.values() for score, _ in values}) > len(live) // 2


def test_every_ranking_of_an_alarm_is_given_by_a_replay(system: AlgorithmSystem, tmp_path: Path) -> None:
    live = {each.case_id: (list(each.ranks), each.input_sha256) for each in system.records(RootCause)}
    again = {
        each["case_id"]: (each["ranks"], each["input_sha256"])
        for each in replayed(system, "most-deviating", tmp_path, "RootCause")
    }
    assert live
    assert {case_id: again[case_id] for case_id in live} == live
