from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from evaluated_run import (
    FAULTS,
    WINDOWS,
    alarms,
    deployment,
    experiment,
    labelled,
    root_cause,
    scores,
    start_us,
    truths,
)

from microservo.adapters.broker import Partition
from microservo.domain.evaluation import Read, RunEvaluation
from microservo.log.publisher import Publisher
from microservo.log.reader import read_state, read_topic
from microservo.log.run_records import update_run, write_run
from microservo.log.topics import topic_specs
from microservo.runtime.shutdown import Shutdown
from microservo.testing import MemoryBroker, eventually
from schemas.catalogue import CASES, EVALUATIONS, catalogue, topic_of
from schemas.codec import decode_as, encode
from schemas.files import record_name
from schemas.records import Case, Evaluation, Experiment
from services.evaluator.service import run
from services.evaluator.settings import EvaluatorSettings

PARTITIONS = 2
NAMES = ("good", "random")


class World:
    """A broker with a run on it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.broker.admin().ensure_topics(topic_specs(prefix="", partitions=PARTITIONS))
        write_run(self.broker, experiment(), process="system", clock=lambda: 1)

    def put(self, records: Iterable[Read]) -> None:
        """Records on the partitions of their keys, as any of our processes sends them."""
        with self.broker.producer() as producer:
            for record in records:
                if isinstance(record, Experiment):
                    continue
                topic = topic_of(record_name(type(record)))
                key = getattr(record, topic.key).encode()
                producer.send(topic.name, key=key, value=encode(record), headers=(("run", b"run-1"),))
            producer.flush(5)

    def end(self) -> None:
        """Says that the run is over, as the system does."""
        with self.broker.consumer(group_id=None) as consumer:
            ends = {
                f"{name}/{partition.index}": consumer.offset_range(partition)[1]
                for name in catalogue()
                for partition in consumer.partitions(name)
            }
        update_run(
            self.broker,
            "run-1",
            lambda run: replace(run, status="finished", end_offsets=ends),
            process="system",
            clock=lambda: 1,
        )

    def evaluations(self) -> dict[str, Evaluation]:
        """The board as it stands, by algorithm."""
        found = read_state(self.broker, EVALUATIONS, Evaluation)
        return {each.algorithm: each for each in found.values()}

    def published(self) -> int:
        return sum(1 for _ in read_topic(self.broker, EVALUATIONS))

    def cases(self) -> list[Case]:
        return [decode_as(Case, each.value) for each in read_topic(self.broker, CASES) if each.value]

    @contextmanager
    def evaluator(self) -> Iterator[None]:
        """An evaluator in a thread of its own, which ends with the block."""
        settings = EvaluatorSettings(run_id="run-1", board_interval_s=0.05)
        shutdown, errors = Shutdown(signals=()), list[BaseException]()

        def body() -> None:
            try:
                run(settings, shutdown, broker=self.broker)
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

    def until_windows(self, count: int) -> dict[str, Evaluation]:
        """Waits until so many windows of every algorithm count."""

        def there() -> dict[str, Evaluation] | None:
            found = self.evaluations()
            is_there = set(found) >= set(NAMES) and all(found[name].windows == count for name in NAMES)
            return found if is_there else None

        found = eventually(there, timeout_s=60, what=f"{count} windows on the board")
        assert found is not None
        return found


@pytest.fixture
def world() -> World:
    return World()


def part(numbers: range) -> list[Read]:
    """What comes in some windows."""
    return [
        *(labelled(service, number) for number in numbers for service in ("ads", "cart", "frontend")),
        *(record for name in NAMES for record in scores(name, numbers)),
    ]


def all_records() -> list[Read]:
    deployed = [deployment("good"), deployment("random", is_control=True)]
    return [*deployed, *truths(), *(each for name in NAMES for each in scores(name)), *alarms("good")]


def timeless(found: dict[str, Evaluation]) -> dict[str, str]:
    """To the last digit, whenever that was."""
    return {name: repr(replace(each, updated_at_us=0)) for name, each in sorted(found.items())}


def replayed(records: Iterable[Read], *, is_final: bool) -> dict[str, Evaluation]:
    """The same without a broker."""
    evaluation = RunEvaluation("run-1")
    for record in records:
        evaluation.add(record)
    found = evaluation.evaluations(at_us=0, cost="batch" if is_final else "live", is_final=is_final)
    return {each.algorithm: each for each in found}


def windows_that_count(count: int) -> int:
    return replayed([*truths(range(count)), *scores("good", range(1))], is_final=False)["good"].windows


def test_the_board_follows_the_run_and_is_what_a_replay_finds(world: World) -> None:
    with world.evaluator():
        world.put(all_records()[:2])
        world.put(truths(range(0)))
        for first in range(0, WINDOWS, 50):
            world.put(part(range(first, first + 50)))
            found = world.until_windows(windows_that_count(first + 50))
        assert not found["good"].is_final
        world.put(alarms("good"))
        eventually(lambda: "missed_share" in world.evaluations()["good"].metrics, timeout_s=20)
        world.end()
        eventually(lambda: all(each.is_final for each in world.evaluations().values()), timeout_s=60)
    assert timeless(world.evaluations()) == timeless(replayed(all_records(), is_final=True))
    assert world.evaluations()["random"].is_control


def test_an_evaluator_that_was_killed_and_one_that_begins_late_end_at_the_same_digits(world: World) -> None:
    records = all_records()
    with world.evaluator():
        world.put(records[: len(records) // 3])
    with world.evaluator():
        # What a process that died in between published again.
        world.put([*records[: len(records) // 2], *records[len(records) // 4 :]])
        world.end()
    late = World()
    late.put(records)
    late.end()
    with late.evaluator():
        eventually(lambda: len(late.evaluations()) == len(NAMES), timeout_s=60)
    assert timeless(world.evaluations()) == timeless(late.evaluations())
    assert all(each.is_final for each in late.evaluations().values())


def test_one_that_comes_back_publishes_nothing_that_is_there(world: World) -> None:
    world.put(all_records())
    with world.evaluator():
        eventually(lambda: len(world.evaluations()) == len(NAMES), timeout_s=60)
    count, cases = world.published(), world.cases()
    with world.evaluator():
        pass
    assert (world.published(), world.cases()) == (count, cases)


def test_a_run_that_ended_gets_its_final_board_before_the_evaluator_leaves(world: World) -> None:
    with world.evaluator():
        world.put(all_records())
        world.end()
    found = world.evaluations()
    assert all(each.is_final and "vus_pr" in each.metrics for each in found.values())


def test_rankers_are_asked_about_each_fault_once_by_the_oracle(world: World) -> None:
    world.put(all_records())
    with world.evaluator():
        cases = eventually(lambda: world.cases() if len(world.cases()) == len(FAULTS) else None, timeout_s=60)
        assert cases is not None
        ordered = sorted(cases, key=lambda each: each.opened_us)
        world.put(root_cause(case, FAULTS[place][1]) for place, case in enumerate(ordered))
        found = eventually(lambda: world.evaluations().get("ranker"), timeout_s=60)
    assert found is not None
    assert len(world.cases()) == len(FAULTS)
    assert world.evaluations()["ranker"].values[found.metrics.index("ac_1")] == 1.0


def test_what_cannot_be_read_and_other_runs_stop_nobody(world: World) -> None:
    with world.broker.producer() as producer:
        producer.send("anomaly-scores", key=b"cart", value=b"no record", headers=(("run", b"run-1"),))
        producer.send("labelled-windows", key=b"cart", value=b"of another run", headers=(("run", b"run-0"),))
        producer.flush(5)
    world.put(all_records())
    with world.evaluator():
        world.until_windows(windows_that_count(WINDOWS))


def test_a_run_is_read_from_where_it_begins(world: World) -> None:
    old = [replace(each, algorithm="old") for each in scores("good", range(5))]
    world.put(old)
    with world.broker.consumer(group_id=None) as consumer:
        ends = {
            f"anomaly-scores/{index}": consumer.offset_range(Partition("anomaly-scores", index))[1]
            for index in range(PARTITIONS)
        }
    update_run(
        world.broker,
        "run-1",
        lambda run: replace(run, start_offsets=ends),
        process="system",
        clock=lambda: 1,
    )
    world.put(all_records())
    with world.evaluator():
        world.until_windows(windows_that_count(WINDOWS))
    assert set(world.evaluations()) == set(NAMES)


def test_its_publisher_is_the_evaluators(world: World) -> None:
    with world.broker.producer() as producer:
        publisher = Publisher(producer, "evaluator", prefix="", clock=lambda: start_us(0))
        publisher.publish(next(iter(replayed(all_records(), is_final=False).values())))
        publisher.flush(5)
    assert list(world.evaluations()) == ["good"]
