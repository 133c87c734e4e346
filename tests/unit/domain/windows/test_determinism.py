"""The same log gives the same bytes, however it is read."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Sent, Story, messages, windowers, writers

from microservo.domain.closed_window import ClosedWindow
from microservo.domain.join import process_message
from microservo.domain.joined_topics import SOURCES
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.log.writers import TELEMETRY
from schemas.codec import encode

POLICY = WindowPolicy()
STORY = Story()

Outputs = dict[tuple[str, int, int], bytes]


def by_queue(sent: list[Sent]) -> dict[tuple[str, int], list[Sent]]:
    queues: dict[tuple[str, int], list[Sent]] = defaultdict(list)
    for message in sent:
        queues[message.topic, message.partition].append(message)
    return queues


def collect(outputs: Outputs, windows: list[ClosedWindow]) -> None:
    """Enters windows; one that was given before must have the same bytes."""
    for window in windows:
        key = (window.service, window.start_us, window.revision)
        value = encode(window.labelled_window())
        assert outputs.setdefault(key, value) == value


def read(sent: list[Sent], *, partitions: int, rng: random.Random | None = None) -> Outputs:
    """The outputs of all partitions, reading in the order sent or in a random interleaving."""
    joins = windowers(STORY, partitions)
    outputs: Outputs = {}
    for message in sent if rng is None else interleaved(sent, rng):
        windower = joins[message.partition]
        process_message(windower, message.topic, message.value, message.headers)
        collect(outputs, list(windower.close()))
    for windower in joins:
        for _, counts in windower.ledger:
            assert counts.open == 0
    return outputs


def interleaved(sent: list[Sent], rng: random.Random) -> list[Sent]:
    """The same messages, each partition of each topic in its order, otherwise shuffled in bursts."""
    queues = {key: iter(queue) for key, queue in by_queue(sent).items()}
    order = []
    while queues:
        key = rng.choice(sorted(queues))
        for _ in range(rng.choice((1, 1, 3, 40, 900))):
            message = next(queues[key], None)
            if message is None:
                del queues[key]
                break
            order.append(message)
    return order


@pytest.fixture(scope="module")
def truth() -> Outputs:
    outputs = read(messages(STORY, partitions=1), partitions=1)
    revisions = {revision for _, _, revision in outputs}
    assert revisions >= {0, 1, 2}
    return outputs


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), partitions=st.sampled_from((1, 3, 12)), batch=st.sampled_from((1, 7, 100)))
def test_any_interleaving_partitioning_and_packing_gives_the_same_windows(
    truth: Outputs, seed: int, partitions: int, batch: int
) -> None:
    sent = messages(replace(STORY, batch=batch), partitions=partitions)
    assert read(sent, partitions=partitions, rng=random.Random(seed)) == truth


@settings(max_examples=10, deadline=None)
@given(cut=st.floats(0.05, 0.95), seed=st.integers(0, 2**32))
def test_a_restart_anywhere_gives_the_same_windows(truth: Outputs, cut: float, seed: int) -> None:
    """The second life starts from the checkpoint and from what the first had not acknowledged."""
    sent = messages(STORY, partitions=1)
    order = interleaved(sent, random.Random(seed))
    stop = int(len(order) * cut)
    (first,), outputs = windowers(STORY, 1), dict[tuple[str, int, int], bytes]()
    needed: dict[str, list[tuple[int, int]]] = {source: [] for source in SOURCES}
    seen = dict.fromkeys(SOURCES, 0)
    for message in order[:stop]:
        taken = process_message(first, message.topic, message.value, message.headers)
        is_of_fault = message.topic not in TELEMETRY and message.value is not None
        needed[message.topic].append((seen[message.topic], 1 << 62 if is_of_fault else taken.newest_end_us))
        seen[message.topic] += 1
        collect(outputs, list(first.close()))
    checkpoint_us = first.final_us(STORY.run_id)
    second = Windower(POLICY)
    second.open_run(STORY.run_id, writers(STORY), final_us=checkpoint_us)
    committed = {
        source: next((at for at, end in held if end > checkpoint_us), seen[source])
        for source, held in needed.items()
    }
    for (source, _), queue in by_queue(sent).items():
        for message in queue[committed[source] : seen[source]]:
            process_message(second, message.topic, message.value, message.headers)
    collect(outputs, list(second.close()))
    for message in order[stop:]:
        process_message(second, message.topic, message.value, message.headers)
        collect(outputs, list(second.close()))
    assert outputs == truth


def test_a_message_read_twice_changes_nothing(truth: Outputs) -> None:
    (windower,), outputs = windowers(STORY, 1), dict[tuple[str, int, int], bytes]()
    for message in messages(STORY, partitions=1):
        for _ in range(2):
            process_message(windower, message.topic, message.value, message.headers)
        collect(outputs, list(windower.close()))
    assert outputs == truth
    assert sum(counts.duplicate for _, counts in windower.ledger) > 0
    assert all(counts.open == 0 for _, counts in windower.ledger)


def test_every_record_is_in_the_ledger_once() -> None:
    (windower,) = windowers(STORY, 1)
    for message in messages(STORY, partitions=1):
        process_message(windower, message.topic, message.value, message.headers)
        list(windower.close())
    accounts = list(windower.ledger)
    assert sum(counts.read for _, counts in accounts) == 3 * len(STORY.services) * STORY.seconds * 8
    assert all(counts.open == 0 for _, counts in accounts)
    assert sum(counts.late for _, counts in accounts) > 0
    assert sum(counts.dropped for _, counts in accounts) > 0
