from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from microservo.log.publisher import Publisher
from microservo.log.reader import read_state, read_topic
from microservo.log.topics import topic_specs
from microservo.supervision.process import ProcessSpec
from microservo.testing import ManualClock, MemoryBroker
from schemas.catalogue import ALGORITHM_STATES, ALGORITHMS
from schemas.codec import decode_as, encode
from schemas.examples import example_bytes
from schemas.records import AlgorithmDeployment, AlgorithmPhase, AlgorithmState
from services.algorithm_runner.hosts import Hosts
from services.algorithm_runner.runner import Runner
from services.algorithm_runner.settings import AlgorithmRunnerSettings

NOW_US = 1_800_000_000_000_000
DEPLOYMENT = replace(
    decode_as(AlgorithmDeployment, example_bytes()["algorithm_deployment", 1]["half-space-trees"]),
    algorithm="hst",
    version=1,
)
STATE = decode_as(AlgorithmState, example_bytes()["algorithm_state", 1]["running"])


@dataclass
class FakeProcesses:
    """Only remembers what should run."""

    running: dict[str, ProcessSpec] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)

    def start(self, spec: ProcessSpec) -> None:
        assert spec.name not in self.running
        self.running[spec.name] = spec
        self.history.append(f"start {spec.name}")

    def stop(self, name: str) -> None:
        del self.running[name]
        self.history.append(f"stop {name}")

    def stop_all(self, names: Iterable[str]) -> None:
        for name in names:
            self.stop(name)


class Machine:
    """A runner on a broker in memory, with processes that are not there."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(NOW_US)
        self.broker = MemoryBroker()
        self.broker.admin().ensure_topics(topic_specs(prefix="", partitions=1))
        self.producer = self.broker.producer()
        self.processes = FakeProcesses()
        self.settings = AlgorithmRunnerSettings(
            run_id="run-1", algorithms_folder=folder / "algorithms", environments=folder / "environments"
        )
        self.runner = self.made()

    def made(self) -> Runner:
        self.read = {ALGORITHMS: 0, ALGORITHM_STATES: 0}
        return Runner(
            hosts=Hosts(self.settings, self.processes, {"PIP_NO_INPUT": "1"}),
            publisher=Publisher(self.producer, "algorithm_runner", prefix="", clock=self.clock),
            topic=self.settings.topic,
            run_id="run-1",
            clock=self.clock,
        )

    def restart(self) -> None:
        """Another runner in its place, which has to start everything."""
        self.processes = FakeProcesses()
        self.clock.advance(1_000_000)
        self.runner = self.made()

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.settings.algorithms_folder.iterdir())

    def deploy(self, **changes: Any) -> None:
        deployment = replace(DEPLOYMENT, **changes)
        self.put(ALGORITHMS, deployment.algorithm, encode(deployment))

    def remove(self, name: str = "hst") -> None:
        self.put(ALGORITHMS, name, None)

    def say(self, phase: AlgorithmPhase, version: int = 1, **changes: Any) -> None:
        """What a host says of itself."""
        self.clock.advance(1)
        id_ = f"hst@{version}"
        state = replace(
            STATE,
            deployment_id=id_,
            algorithm="hst",
            algorithm_version=version,
            run_id="run-1",
            phase=phase,
            updated_at_us=self.clock(),
            **changes,
        )
        self.put(ALGORITHM_STATES, id_, encode(state))

    def put(self, topic: str, key: str, value: bytes | None) -> None:
        self.producer.send(topic, key=key.encode(), value=value)
        self.producer.flush(5)

    def round(self) -> list[str]:
        """What the runner did with all that is new."""
        before = len(self.processes.history)
        for topic in (ALGORITHMS, ALGORITHM_STATES):
            messages = list(read_topic(self.broker, topic))
            self.runner.take(messages[self.read[topic] :])
            self.read[topic] = len(messages)
        self.runner.reconcile()
        return self.processes.history[before:]

    def states(self) -> dict[str, AlgorithmState]:
        return read_state(self.broker, ALGORITHM_STATES, AlgorithmState)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.producer.close()


def test_what_is_deployed_gets_a_host_of_its_own(machine: Machine) -> None:
    machine.deploy()
    assert machine.round() == ["start hst@1"]
    spec = machine.processes.running["hst@1"]
    assert spec.argv[-1] == "services.algorithm_host"
    told = decode_as(AlgorithmDeployment, Path(spec.env["MICROSERVO_DEPLOYMENT"]).read_bytes())
    assert (told.algorithm, told.version) == ("hst", 1)
    assert spec.env["PIP_NO_INPUT"] == "1"
    assert Path(spec.env["MICROSERVO_ALGORITHM_FOLDER"]).is_dir()
    assert machine.round() == []


def test_a_new_version_takes_over_when_it_has_caught_up(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    machine.deploy(version=2)
    assert machine.round() == ["start hst@2"]
    machine.say("learning", version=2)
    assert machine.round() == []
    machine.say("running", version=2)
    assert machine.round() == ["stop hst@1"]
    assert machine.states()["hst@1"].phase == "replaced"
    assert machine.states()["hst@2"].phase == "running"


def test_what_has_failed_is_stopped_and_stays_so_until_it_is_deployed_anew(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("failed", reason="it raised")
    assert machine.round() == ["stop hst@1"]
    assert machine.round() == []
    assert machine.states()["hst@1"].reason == "it raised"
    machine.deploy(version=2)
    assert machine.round() == ["start hst@2"]


def test_what_is_not_wanted_is_stopped_and_started_again_when_it_is(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    machine.deploy(is_wanted=False)
    assert machine.round() == ["stop hst@1"]
    assert machine.states()["hst@1"].phase == "stopped"
    machine.deploy(is_wanted=True)
    assert machine.round() == ["start hst@1"]


def test_what_ran_beside_a_version_that_failed_goes_on_when_both_are_started_again(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    deployed_at_us = machine.clock()
    machine.deploy(version=2, deployed_at_us=deployed_at_us)
    machine.round()
    machine.say("failed", version=2)
    machine.round()
    machine.deploy(version=2, deployed_at_us=deployed_at_us, is_wanted=False)
    assert machine.round() == ["stop hst@1"]
    machine.deploy(version=2, deployed_at_us=deployed_at_us)
    assert machine.round() == ["start hst@2", "start hst@1"]
    machine.say("running")
    machine.say("running", version=2)
    assert machine.round() == ["stop hst@1"]


def test_what_was_stopped_before_its_next_version_came_stays_so(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    machine.deploy(is_wanted=False)
    machine.round()
    machine.clock.advance(1)
    machine.deploy(version=2, deployed_at_us=machine.clock())
    assert machine.round() == ["start hst@2"]


def test_what_was_removed_leaves_nothing_but_which_version_it_was(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    folder = Path(machine.processes.running["hst@1"].env["MICROSERVO_ALGORITHM_FOLDER"])
    machine.remove()
    assert machine.round() == ["stop hst@1"]
    (last,) = machine.states().values()
    assert (last.deployment_id, last.phase, last.reason) == ("hst@1", "stopped", "it was removed")
    assert not folder.exists()
    assert machine.round() == []
    assert machine.states() == {"hst@1": last}


def test_what_was_stopped_or_replaced_before_it_was_removed_leaves_its_last_version_alone(
    machine: Machine,
) -> None:
    machine.deploy()
    machine.round()
    machine.deploy(version=2)
    machine.round()
    machine.say("running", version=2)
    machine.round()
    machine.deploy(version=2, is_wanted=False)
    machine.round()
    machine.remove()
    machine.round()
    # What its host said last, on its way here meanwhile.
    machine.say("stopped", version=2)
    machine.round()
    assert {id_: state.reason for id_, state in machine.states().items()} == {"hst@2": "it was removed"}
    assert machine.folders() == []


def test_what_was_removed_while_no_runner_was_there_leaves_its_last_version_alone(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    machine.remove()
    machine.restart()
    assert machine.round() == []
    assert list(machine.states()) == ["hst@1"]
    assert machine.folders() == []


def test_what_was_removed_and_deployed_again_at_once_is_another_one(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    learned = machine.settings.algorithms_folder / "hst@1" / "memory"
    learned.touch()
    machine.remove()
    machine.deploy(declaration="{}", deployed_at_us=NOW_US + 1)
    assert machine.round() == ["stop hst@1"]
    assert machine.round() == ["start hst@1"]
    assert not learned.exists()


def test_what_was_removed_and_deployed_again_while_no_runner_was_there_is_another_one(
    machine: Machine,
) -> None:
    machine.deploy()
    machine.round()
    learned = machine.settings.algorithms_folder / "hst@1" / "memory"
    learned.touch()
    machine.remove()
    machine.deploy(declaration="{}", deployed_at_us=NOW_US + 1)
    machine.restart()
    assert machine.round() == ["start hst@1"]
    assert not learned.exists()


def test_what_ran_before_its_next_version_goes_on_when_the_runner_comes_back(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    machine.deploy(version=2)
    machine.round()
    machine.say("failed", version=2)
    machine.restart()
    assert machine.round() == ["start hst@1", "start hst@2"]
    machine.say("running")
    machine.say("running", version=2)
    assert machine.round() == ["stop hst@1"]
    machine.restart()
    assert machine.round() == ["start hst@2"]


def test_what_can_not_be_read_any_longer_keeps_what_it_has_learned(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("running")
    machine.put(ALGORITHMS, "hst", b"rubbish")
    machine.restart()
    # What came before was compacted away.
    machine.read[ALGORITHMS] = 1
    assert machine.round() == []
    assert machine.folders() == ["hst@1"]


def test_a_runner_that_comes_back_starts_what_is_deployed_whatever_was_said_before(machine: Machine) -> None:
    machine.deploy()
    machine.round()
    machine.say("failed")
    machine.restart()
    assert machine.round() == ["start hst@1"]
    assert machine.round() == []


def test_what_can_not_be_read_is_passed_over(machine: Machine) -> None:
    machine.put(ALGORITHMS, "bad", b"rubbish")
    machine.deploy()
    assert machine.round() == ["start hst@1"]
