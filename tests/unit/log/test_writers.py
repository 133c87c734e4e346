"""Writers are declared in the run's record before they write, and leave by a final stamp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from microservo.adapters.broker import Partition
from microservo.errors import InvalidInput, Retryable
from microservo.log.run_records import KnownRuns, update_run, write_run
from microservo.log.runs import runs
from microservo.log.stamped import StampedWriter
from microservo.log.topics import topic_specs
from microservo.log.writers import JOIN_AHEAD_US, TELEMETRY, declare_writer, retire_writer, writers_from
from microservo.testing import ManualClock, MemoryBroker
from schemas import catalogue
from schemas.codec import framing
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import Experiment, RunWriter

NOON_US = 1_800_000_000_000_000
S = 1_000_000
PROCESS = "telemetry_collector"
CUTS_US = {"first_cut_us": 2 * S, "final_cut_us": 30 * S}
RUN = Experiment(
    run_id="run",
    status="running",
    seed=1,
    target="shop",
    started_at_us=NOON_US,
    window_us=5 * S,
    start_offsets={},
    end_offsets={},
    versions={},
    writers=writers_from(NOON_US, **CUTS_US),
    first_cut_us=CUTS_US["first_cut_us"],
    final_cut_us=CUTS_US["final_cut_us"],
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON_US + 60 * S)


@pytest.fixture
def broker(clock: ManualClock) -> MemoryBroker:
    broker = MemoryBroker(clock=clock)
    broker.admin().ensure_topics(topic_specs(partitions=2))
    write_run(broker, RUN, process="system", clock=clock)
    return broker


def declare(
    broker: MemoryBroker,
    clock: ManualClock,
    name: str = "second",
    *,
    first_cut_us: int | None = None,
    final_cut_us: int | None = None,
) -> int:
    return declare_writer(
        broker,
        run_id="run",
        writer=name,
        topics=TELEMETRY,
        process=PROCESS,
        clock=clock,
        wait=lambda seconds: clock.advance(round(seconds * S)),
        first_cut_us=first_cut_us,
        final_cut_us=final_cut_us,
    )


def declared(broker: MemoryBroker, name: str) -> list[RunWriter]:
    (run,) = runs(broker)
    return [each for each in run.writers if each.writer == name]


def test_a_writer_that_joins_is_declared_for_an_instant_ahead_and_waits_for_it(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    asked_us = clock()
    from_us = declare(broker, clock)
    assert from_us == asked_us + JOIN_AHEAD_US == clock()
    assert {each.topic for each in declared(broker, "second")} == set(TELEMETRY)
    assert {each.from_us for each in declared(broker, "second")} == {from_us}


def test_a_writer_that_is_started_again_goes_on_at_once(broker: MemoryBroker, clock: ManualClock) -> None:
    from_us = declare(broker, clock)
    clock.advance(S)
    now_us = clock()
    assert declare(broker, clock) == from_us
    assert clock() == now_us
    assert declare(broker, clock, "telemetry-collector") == NOON_US


def test_a_source_that_is_waited_for_longer_joins_that_much_later(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    asked_us = clock()
    from_us = declare(broker, clock, first_cut_us=9 * S, final_cut_us=45 * S)
    assert from_us == asked_us + JOIN_AHEAD_US + 15 * S


def test_a_run_that_nobody_recorded_needs_no_declaration(clock: ManualClock) -> None:
    broker = MemoryBroker()
    broker.admin().ensure_topics(topic_specs(partitions=1))
    assert declare(broker, clock) == 0
    assert runs(broker) == []


def test_nobody_joins_a_run_that_is_over(broker: MemoryBroker, clock: ManualClock) -> None:
    write_run(broker, replace(RUN, status="finished"), process="system", clock=clock)
    with pytest.raises(InvalidInput, match=r"run 'run' is over \(finished\); second can't write"):
        declare(broker, clock)


def test_a_writer_whose_entry_was_overwritten_unseen_enters_itself_again(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            write_run(broker, RUN, process="system", clock=clock)  # by somebody who had read it before
        clock.advance(round(seconds * S))

    from_us = declare_writer(
        broker, run_id="run", writer="second", topics=TELEMETRY, process=PROCESS, clock=clock, wait=wait
    )
    assert {each.from_us for each in declared(broker, "second")} == {from_us}
    assert from_us == NOON_US + 60 * S + 2 * JOIN_AHEAD_US


def test_a_writer_that_is_not_declared_in_time_says_so(broker: MemoryBroker) -> None:
    ticking = Ticking(NOON_US + 60 * S, step_us=S)
    with pytest.raises(Retryable, match="second could not be declared for run 'run' in time"):
        declare_writer(
            broker,
            run_id="run",
            writer="second",
            topics=TELEMETRY,
            process=PROCESS,
            clock=ticking,
            wait=lambda _: None,
        )


class Ticking:
    """A clock that goes on whenever it is read."""

    def __init__(self, at_us: int, *, step_us: int) -> None:
        self._at_us, self._step_us = at_us, step_us

    def __call__(self) -> int:
        self._at_us += self._step_us
        return self._at_us


def test_changes_that_cross_are_both_kept(broker: MemoryBroker, clock: ManualClock) -> None:
    """Another ends the run between what this one reads and what it writes."""
    crossed = False

    def change(run: Experiment) -> Experiment:
        nonlocal crossed
        if not crossed:
            crossed = True
            update_run(
                broker, "run", lambda run: replace(run, status="finished"), process=PROCESS, clock=clock
            )
        return replace(run, writers=(*run.writers, *writers_from(7, **CUTS_US)[:1]))

    changed = update_run(broker, "run", change, process=PROCESS, clock=clock)
    assert changed is not None
    (run,) = runs(broker)
    assert (run.status, len(run.writers)) == ("finished", len(RUN.writers) + 1)
    assert run == changed


def test_a_change_of_no_run_changes_nothing(broker: MemoryBroker, clock: ManualClock) -> None:
    assert update_run(broker, "other", lambda run: run, process=PROCESS, clock=clock) is None


def test_what_is_known_of_runs_follows_the_log(broker: MemoryBroker, clock: ManualClock) -> None:
    known = KnownRuns(broker, "", clock)
    assert known.get("run") is None
    known.refresh()
    assert known.get("run") == RUN
    assert known.known_until_us == clock()
    with broker.producer() as producer:
        producer.send(catalogue.EXPERIMENTS, key=b"run", value=b"unreadable")
        producer.send(catalogue.EXPERIMENTS, key=b"run", value=None)
    clock.advance(S)
    known.refresh()
    assert known.get("run") is None
    assert known.known_until_us == clock()
    known.close()


def writer_on(
    broker: MemoryBroker, clock: Callable[[], int], name: str = "second", run_id: str = "run"
) -> StampedWriter:
    return StampedWriter(
        broker,
        catalogue.TELEMETRY_LOGS,
        writer=name,
        run_id=lambda: run_id,
        clock=clock,
        source="/test",
        from_us=NOON_US + 90 * S,
    )


def last_stamps(broker: MemoryBroker, topic: str = catalogue.TELEMETRY_LOGS) -> list[Stamp]:
    with broker.consumer(group_id=None) as consumer:
        ends = {each: consumer.offset_range(each)[1] for each in consumer.partitions(topic)}
        consumer.assign({each: end - 1 for each, end in ends.items()})
        found = {each.partition: Stamp.read(each.headers) for each in consumer.consume(len(ends), 1)}
    return [found[Partition(topic, index).index] for index in range(len(ends))]


def test_no_stamp_lies_below_the_instant_a_writer_was_declared_for(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    writer_on(broker, clock).heartbeat()
    assert {stamp.watermark_us for stamp in last_stamps(broker)} == {NOON_US + 90 * S}


def test_a_writer_that_was_killed_for_good_is_retired_in_its_name(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    declare(broker, clock)
    writer = writer_on(broker, clock)
    writer.send(b"cart", framing(5) + b"v", 5, partition=0)
    clock.advance(10 * S)
    retire_writer(broker, run_id="run", writer="second", process="client", clock=clock)
    for topic in TELEMETRY:
        assert {stamp.watermark_us for stamp in last_stamps(broker, topic)} == {FOREVER_US}
    assert [(stamp.sequence, stamp.total) for stamp in last_stamps(broker)] == [(1, 5), (0, 0)]
    assert {each.until_us for each in declared(broker, "second")} == {clock()}
    retire_writer(broker, run_id="run", writer="second", process="client", clock=clock)
    assert [(stamp.sequence, stamp.total) for stamp in last_stamps(broker)] == [(1, 5), (0, 0)]


def test_a_writer_that_still_writes_is_not_retired(broker: MemoryBroker, clock: ManualClock) -> None:
    declare(broker, clock)
    writer_on(broker, clock).heartbeat()
    clock.advance(S)
    with pytest.raises(InvalidInput, match=r"second still writes to telemetry-logs, .* 1.0 s old; stop it"):
        retire_writer(broker, run_id="run", writer="second", process="client", clock=clock)


def test_only_a_declared_writer_is_retired(broker: MemoryBroker, clock: ManualClock) -> None:
    with pytest.raises(InvalidInput, match="no writer 'x' in run 'run'; its record declares: fault-inj"):
        retire_writer(broker, run_id="run", writer="x", process="client", clock=clock)


def test_a_retired_writer_comes_back_to_its_run_under_no_condition_but_to_the_next(
    broker: MemoryBroker, clock: ManualClock
) -> None:
    declare(broker, clock)
    clock.advance(10 * S)
    retire_writer(broker, run_id="run", writer="second", process="client", clock=clock)
    with pytest.raises(InvalidInput, match="second has left run 'run' for good; set MICROSERVO_WRITER"):
        declare(broker, clock)
    with pytest.raises(InvalidInput, match="second has left run 'run' on telemetry-logs for good"):
        writer_on(broker, clock)
    writer_on(broker, clock, run_id="next").heartbeat()
    assert {stamp.watermark_us for stamp in last_stamps(broker)} == {NOON_US + 90 * S}
