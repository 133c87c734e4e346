"""Writers join, leave, are killed and come back: the windows are those of a replay, to the byte."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from microservo.domain.closed_window import ClosedWindow
from microservo.domain.join import process_stamped
from microservo.domain.joined_topics import SOURCES, TOLD_LATER
from microservo.domain.silence import PushedSignal, packed_signals
from microservo.domain.telemetry import Batch
from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.errors import InvalidMessage
from schemas import catalogue
from schemas.codec import decode, encode
from schemas.envelope import FOREVER_US, Stamp
from schemas.records import (
    FaultEffect,
    LogBatch,
    MetricBatch,
    RunWriter,
    ServiceAction,
    ServiceFault,
    ServiceInventory,
    SpanBatch,
)

S = 1_000_000
RUN = "run"
START_S = 1_700_000_000
POLICY = WindowPolicy()
LENGTH_S = 70
AHEAD_S, LEASE_S = 10, 5
METRICS, LOGS, TRACES, FAULTS, EFFECTS, ACTIONS = SOURCES
SERVICES = ("cart", "checkout")

Key = tuple[str, int, int]
Windows = dict[Key, bytes]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """One writer of a topic; times in seconds since the run began.

    Attributes:
        source: what it writes.
        name: its name.
        declared_s: when it is entered into the run's record.
        stops_s: when it stops for good; its final stamp is written then, or later in its name.
        final_stamp_s: how much later.
        gap_s: when it is down for five seconds, and then started anew; -1 for never.
        lag_s: how long its messages take to be in the log.
        slow: whether its source is slow: it is waited for longer, and what it writes is older.
    """

    source: str
    name: str
    declared_s: int = 0
    stops_s: int = LENGTH_S
    final_stamp_s: int = 0
    gap_s: int = -1
    lag_s: int = 0
    slow: bool = False

    @property
    def first_s(self) -> int:
        return 9 if self.slow else 2

    @property
    def final_s(self) -> int:
        return 45 if self.slow else 30

    @property
    def from_s(self) -> int:
        ahead_s = AHEAD_S + max(self.first_s - 2, self.final_s - 30)
        return self.declared_s + ahead_s if self.declared_s else 0

    def declaration(self) -> RunWriter:
        return RunWriter(
            topic=self.source,
            writer=self.name,
            from_us=(START_S + self.from_s) * S,
            first_cut_us=NEVER_WAITS_US if self.source in TOLD_LATER else self.first_s * S,
            final_cut_us=self.final_s * S,
        )


@dataclass(frozen=True)
class Sent:
    """A message and when it is in the log, in seconds since the run began."""

    at_s: float
    source: str
    value: bytes | None
    stamp: Stamp


BASE = [Writer(source=source, name="first") for source in SOURCES]
WRITERS = st.lists(
    st.builds(
        Writer,
        source=st.sampled_from(SOURCES),
        name=st.sampled_from(["second", "third"]),
        declared_s=st.integers(1, 40),
        stops_s=st.integers(12, LENGTH_S),
        final_stamp_s=st.integers(0, 20),
        gap_s=st.integers(-1, 60),
        lag_s=st.integers(0, 20),
        slow=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda writer: (writer.source, writer.name),
)


def log_of(writers: Sequence[Writer], rng: random.Random) -> list[Sent]:
    """What all writers put on their topics, in the order of the log."""
    sent = [message for writer in writers for message in _messages(writer, rng)]
    return sorted(sent, key=lambda message: message.at_s)


def _messages(writer: Writer, rng: random.Random) -> Iterator[Sent]:
    total = sequence = 0
    at_s = 0.0
    stops_s = max(writer.stops_s, writer.from_s)
    for second in range(writer.from_s, stops_s):
        if writer.gap_s <= second < writer.gap_s + 5:
            continue
        stamp_us = (START_S + second) * S + rng.randrange(S)
        value = _record(writer, second, rng) if rng.random() < 0.7 else None
        total += value is not None
        stamp = Stamp(run=RUN, watermark_us=stamp_us, writer=writer.name, sequence=sequence, total=total)
        sequence += 1
        at_s = max(at_s, stamp_us / S - START_S + writer.lag_s + rng.random())
        yield Sent(at_s, writer.source, value, stamp)
    stamp = Stamp(run=RUN, watermark_us=FOREVER_US, writer=writer.name, sequence=sequence, total=total)
    yield Sent(max(at_s, stops_s + writer.final_stamp_s), writer.source, None, stamp)


def _record(writer: Writer, second: int, rng: random.Random) -> bytes:
    age_s = rng.choice((0, 0, 1, 6, 8, 33, 40, 60) if writer.slow else (0, 0, 1, 4, 20, 40))
    time_us = (START_S + max(0, second - age_s)) * S + rng.randrange(S)
    service = rng.choice(SERVICES)
    if writer.source in _TOLD:
        return encode(_TOLD[writer.source](f"of-{writer.name}", service, time_us, 1 + second))
    one = np.array([time_us], "<i8").tobytes()
    if writer.source == LOGS:
        batch = LogBatch(
            run_id=RUN,
            service=service,
            instances=("a",),
            templates=("x", "y"),
            time_us=one,
            instance=bytes(2),
            severity=b"\x09",
            template=rng.randrange(2).to_bytes(2, "little"),
            trace_id=bytes(16),
            span_id=bytes(8),
            line_id=rng.randrange(4).to_bytes(8, "little"),
            bodies=("x",),
        )
        return encode(batch)
    if writer.source == TRACES:
        return encode(_span(service, time_us, rng.randrange(4)))
    if rng.random() < 0.5:
        return encode(_inventory(service, time_us, delay_s=rng.choice((0, 0, 3, 8, 20))))
    return encode(_point(service, time_us, rng.random()))


def _inventory(service: str, time_us: int, *, delay_s: int = 0) -> ServiceInventory:
    return ServiceInventory(
        run_id=RUN,
        service=service,
        endpoints=("GetCart",),
        peers=("redis",),
        metered=(),
        **packed_signals({"traces": PushedSignal(S, time_us)}),
        delay_us=delay_s * S,
        time_us=time_us,
    )


def _span(service: str, time_us: int, number: int) -> SpanBatch:
    return SpanBatch(
        run_id=RUN,
        service=service,
        instances=("a",),
        endpoints=("GetCart",),
        peers=("",),
        start_us=np.array([time_us], "<i8").tobytes(),
        duration_us=bytes(8),
        instance=bytes(2),
        endpoint=bytes(2),
        peer=bytes(2),
        kind=b"\x02",
        error=b"\0",
        trace_id=bytes(15) + b"\x01",
        span_id=number.to_bytes(8, "little"),
        parent_id=bytes(8),
    )


def _point(service: str, time_us: int, value: float) -> MetricBatch:
    return MetricBatch(
        run_id=RUN,
        service=service,
        instances=("a",),
        names=("cpu",),
        time_us=np.array([time_us], "<i8").tobytes(),
        instance=bytes(2),
        name=bytes(2),
        value=np.array([value]).tobytes(),
    )


def _fault(fault_id: str, service: str, time_us: int, version: int) -> ServiceFault:
    return ServiceFault(
        run_id=RUN,
        fault_id=fault_id,
        version=version,
        kind="cpu-hog",
        service=service,
        root_service=service,
        role="root_cause",
        hops=0,
        severity=1.0,
        requested_at_us=START_S * S,
        apply_commanded_at_us=START_S * S,
        applied_at_us=time_us,
        recovery_commanded_at_us=time_us + 8 * S,
        recovered_at_us=time_us + 8 * S if version % 2 else None,
    )


def _effect(fault_id: str, service: str, time_us: int, version: int) -> FaultEffect:
    """Seen or not, final or not, and soon forgotten or kept for long: whatever the numbers say."""
    is_seen = time_us % 3 > 0
    return FaultEffect(
        run_id=RUN,
        fault_id=fault_id,
        service=service,
        version=version,
        root_service=service,
        relation="root",
        finding="visible" if is_seen else "not_visible",
        starts_us=(time_us,) if is_seen else (),
        ends_us=(time_us + 3 * S,) if is_seen else (),
        is_open=False,
        through_us=time_us + 9 * S,
        is_final=version % 4 == 0,
    )


def _action(decision_id: str, service: str, time_us: int, version: int) -> ServiceAction:
    """Begun or not, over or not, final or not: whatever the numbers say."""
    begun_us = time_us if time_us % 5 else None
    return ServiceAction(
        run_id=RUN,
        service=service,
        decision_id=decision_id,
        version=version,
        manager="master",
        policy="rules",
        what="launch",
        origin="command",
        decided_by="ana",
        why="asked for by ana",
        decided_us=time_us,
        begun_us=begun_us,
        ended_us=time_us + 7 * S if version % 3 else None,
        is_final=version % 4 == 0,
    )


_TOLD: Mapping[str, Callable[[str, str, int, int], object]] = {
    FAULTS: _fault,
    EFFECTS: _effect,
    ACTIONS: _action,
}
"""What is said of a fault or an act, by its topic: from its id, service, instant and version."""


def replayed(writers: Sequence[Writer], log: Iterable[Sent]) -> tuple[Windows, Windower]:
    """The windows by the record of the run, which names all writers from the start."""
    windower = Windower(POLICY)
    windower.open_run(RUN, [writer.declaration() for writer in writers])
    windows: Windows = {}
    for message in log:
        _take(windower, message)
        _collect(windows, windower.close())
    return windows, windower


def lived(writers: Sequence[Writer], log: Sequence[Sent], rng: random.Random) -> tuple[Windows, Windower]:
    """The windows of a labeller that reads topics as they come, and learns of writers now and then."""
    windower = Windower(POLICY)
    windows: Windows = {}
    known_s = now_s = 0.0
    attention = rng.choice((0.002, 0.05))
    for message in log if rng.random() < 0.5 else _interleaved(log, rng):
        now_s = max(now_s, message.at_s) + rng.random() * rng.choice((0, 0, 3))
        is_unknown = not windower.knows(RUN, message.source, message.stamp.writer)
        if is_unknown or rng.random() < attention:
            known_s = now_s
            windower.open_run(RUN, [each.declaration() for each in writers if each.declared_s <= known_s])
        _take(windower, message)
        if rng.random() < 0.5:
            before = windower.passed(RUN)
            _collect(windows, windower.close(round((START_S + known_s + LEASE_S) * S)))
            after = windower.passed(RUN)
            assert before.first_us <= after.first_us, "event time never falls"
            assert before.final_us <= after.final_us, "event time never falls"
    windower.seal_run(RUN)
    _collect(windows, windower.close())
    return windows, windower


def _interleaved(log: Sequence[Sent], rng: random.Random) -> Iterator[Sent]:
    """Each topic in its order, otherwise shuffled in bursts."""
    queues = {source: iter([each for each in log if each.source == source]) for source in SOURCES}
    while queues:
        source = rng.choice(sorted(queues))
        for _ in range(rng.choice((1, 1, 3, 40))):
            message = next(queues[source], None)
            if message is None:
                del queues[source]
                break
            yield message


def _take(windower: Windower, message: Sent) -> None:
    process_stamped(windower, message.source, message.value, message.stamp)


def _collect(windows: Windows, closed: Iterable[ClosedWindow]) -> None:
    for window in closed:
        value = encode(window.labelled_window())
        key = (window.service, window.start_us, window.revision)
        assert key not in windows, "no window is opened again"
        windows[key] = value


@settings(max_examples=60, deadline=None)
@given(more=WRITERS, seed=st.integers(0, 2**32))
@example(more=[Writer(source=METRICS, name="second", declared_s=20, slow=True, lag_s=15)], seed=1)
@example(more=[Writer(source=FAULTS, name="second", declared_s=5, stops_s=30, final_stamp_s=20)], seed=2)
@example(more=[Writer(source=EFFECTS, name="second", declared_s=20, stops_s=50, lag_s=20)], seed=3)
@example(more=[Writer(source=ACTIONS, name="second", declared_s=8, stops_s=50, gap_s=20, lag_s=20)], seed=4)
def test_live_windows_are_those_of_a_replay_whoever_joins_leaves_or_is_killed(
    more: list[Writer], seed: int
) -> None:
    rng = random.Random(seed)
    writers = [*BASE, *more]
    log = log_of(writers, rng)
    truth, replay = replayed(writers, log)
    windows, live = lived(writers, log, rng)
    assert windows == truth
    assert {revision for _, _, revision in truth} >= {0}
    for windower in (replay, live):
        assert all(counts.open == 0 for _, counts in windower.ledger)
    assert list(live.ledger) == list(replay.ledger)
    records = sum(isinstance(decode(message.value), Batch) for message in log if message.value)
    assert sum(counts.read for _, counts in live.ledger) == records


def _stamp(at_s: float, writer: str) -> Stamp:
    stamp_us = FOREVER_US if at_s == float("inf") else round((START_S + at_s) * S)
    return Stamp(run=RUN, watermark_us=stamp_us, writer=writer, sequence=0, total=0)


def _opened(*writers: Writer) -> Windower:
    windower = Windower(POLICY)
    windower.open_run(RUN, [writer.declaration() for writer in writers])
    windower.telemetry(_point("cart", START_S * S + 1, 1.0), _stamp(1, "first"))
    return windower


def _promise(windower: Windower, at_s: float, writer: str = "first") -> list[ClosedWindow]:
    for source in SOURCES:
        windower.heartbeat(source, _stamp(at_s, writer))
    return list(windower.close())


def test_windows_wait_for_a_declared_writer_that_was_not_heard_yet() -> None:
    windower = _opened(*BASE, Writer(source=METRICS, name="second", declared_s=1))
    windower.open_run(RUN, [Writer(source=LOGS, name="late").declaration()])
    assert _promise(windower, 30) == []
    windower.heartbeat(LOGS, _stamp(30, "late"))
    assert [window.revision for window in windower.close()] == [0], "the second one writes from 11 s on"


def test_a_writer_that_leaves_is_waited_for_no_longer() -> None:
    windower = _opened(*BASE, Writer(source=METRICS, name="second"))
    windower.heartbeat(METRICS, _stamp(3, "second"))
    assert _promise(windower, 40) == []
    windower.heartbeat(METRICS, _stamp(float("inf"), "second"))
    assert len(list(windower.close())) == 1


def test_a_writer_that_has_left_is_refused() -> None:
    windower = _opened(*BASE)
    windower.heartbeat(METRICS, _stamp(float("inf"), "first"))
    with pytest.raises(InvalidMessage, match="first has left run 'run'; a writer that joins"):
        windower.telemetry(_point("cart", START_S * S + 2, 1.0), _stamp(3, "first"))


def test_what_an_undeclared_writer_writes_is_refused_and_its_silence_counts_for_nothing() -> None:
    windower = _opened(*BASE)
    windower.heartbeat(METRICS, _stamp(2, "stranger"))
    with pytest.raises(InvalidMessage, match="stranger is no declared writer of telemetry-metrics"):
        windower.telemetry(_point("cart", START_S * S + 2, 1.0), _stamp(3, "stranger"))
    assert len(_promise(windower, 8)) == 1


def test_a_writer_must_not_stamp_below_the_instant_it_was_declared_for() -> None:
    second = Writer(source=METRICS, name="second", declared_s=1)
    windower = _opened(*BASE, second)
    with pytest.raises(InvalidMessage, match="second took its promise back"):
        windower.telemetry(_point("cart", START_S * S + 2, 1.0), _stamp(second.from_s - 1, "second"))


def test_a_writer_that_is_declared_too_late_opens_no_window_again() -> None:
    windower = _opened(*BASE)
    assert len(_promise(windower, 40)) == 1
    before = windower.passed(RUN)
    windower.open_run(RUN, [Writer(source=METRICS, name="second", declared_s=1).declaration()])
    assert list(windower.close()) == []
    assert windower.passed(RUN) == before
    with pytest.raises(InvalidMessage, match="took its promise back"):
        windower.telemetry(_point("cart", START_S * S + 2, 1.0), _stamp(20, "second"))


def test_a_slow_source_is_on_time_by_cuts_of_its_own() -> None:
    windower = _opened(*BASE, Writer(source=METRICS, name="scraper", slow=True))
    assert _promise(windower, 20) == []
    windower.telemetry(_point("cart", START_S * S + 2, 3.0), _stamp(13, "scraper"))
    windower.heartbeat(METRICS, _stamp(20, "scraper"))
    (window,) = windower.close()
    assert (window.revision, window.features["metric/cpu/count"]) == (0, 2.0)


def test_a_run_that_follows_on_the_same_topics_does_not_wait_for_the_one_before() -> None:
    windower = _opened(*BASE)
    windower.open_run("next", [writer.declaration() for writer in BASE])
    stamps = [
        Stamp(run="next", watermark_us=(START_S + at_s) * S, writer="first", sequence=0, total=0)
        for at_s in (1, 8)
    ]
    batch = _point("cart", START_S * S + 1, 1.0)
    with pytest.raises(InvalidMessage, match="a batch of run 'run' is stamped for run 'next'"):
        windower.telemetry(batch, stamps[0])
    for source in SOURCES:
        windower.heartbeat(source, stamps[1])
    assert [window.run_id for window in windower.close()] == []
    assert windower.passed("next").first_us == (START_S + 6) * S
    assert windower.passed(RUN).first_us == (START_S - 2) * S


def test_a_run_that_declares_nobody_has_one_writer_for_each_topic() -> None:
    windower = Windower(POLICY)
    windower.telemetry(_point("cart", START_S * S + 1, 1.0), _stamp(1, "first"))
    with pytest.raises(InvalidMessage, match=r"other can't write telemetry-metrics .* declares nobody"):
        windower.telemetry(_point("cart", START_S * S + 2, 1.0), _stamp(3, "other"))
    assert len(_promise(windower, 8)) == 1


def test_nobody_writes_faults_where_none_is_declared_to() -> None:
    windower = Windower(POLICY)
    windower.open_run(RUN, [Writer(source=METRICS, name="only").declaration()])
    windower.telemetry(_point("cart", START_S * S + 1, 1.0), _stamp(1, "only"))
    windower.heartbeat(catalogue.TELEMETRY_METRICS, _stamp(8, "only"))
    assert len(list(windower.close())) == 1
