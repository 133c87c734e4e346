"""Rebuilt windows against those that were written live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_run import record_run
from synthetic import Story

from microservo.adapters.broker import Message
from microservo.datasets import rebuild, verify_against_live
from microservo.errors import InvalidInput
from microservo.log.ranges import read_ranges
from microservo.testing import MemoryBroker
from schemas import catalogue
from schemas.codec import decode_as, encode
from schemas.records import LabelledWindow

Change = Callable[[list[Message]], list[Message]]


def compared(tmp_path: Path, change: Change) -> list[str]:
    """The differences after the live windows were changed."""
    source, target = MemoryBroker(), MemoryBroker()
    story = Story(seconds=40)
    record_run(source, story, partitions=1)
    rebuild(source, run_id=story.run_id, out_dir=tmp_path / "d")
    with source.consumer(group_id=None) as consumer:
        partition = consumer.partitions(catalogue.LABELLED_WINDOWS)[0]
        live = list(read_ranges(consumer, {partition: consumer.offset_range(partition)}))
    record_run(target, replace(story, run_id="run-0"), partitions=1)
    changed = change(live)
    with target.consumer(group_id=None) as consumer:
        first = consumer.offset_range(partition)[1]
    with target.producer() as producer:
        for message in changed:
            producer.send(message.topic, key=message.key, value=message.value, partition=0)
    _point_at(tmp_path / "d", first, first + len(changed))
    return verify_against_live(tmp_path / "d", target)


def _point_at(dataset: Path, first: int, end: int) -> None:
    path = dataset / "manifest.json"
    text = path.read_text()
    before = text.index('"labelled-windows/0": [') + len('"labelled-windows/0": [')
    path.write_text(text[:before] + f"{first}, {end}" + text[text.index("]", before) :])


def test_what_ran_live_is_what_is_rebuilt(recorded: MemoryBroker, original: Path) -> None:
    assert verify_against_live(original, recorded) == []


def test_the_same_bytes_twice_are_no_difference(tmp_path: Path) -> None:
    assert compared(tmp_path, lambda live: live + live[:10]) == []


def test_a_window_that_was_never_written_live_is_noticed(tmp_path: Path) -> None:
    problems = compared(tmp_path, lambda live: live[1:])
    assert len(problems) == 1
    assert "never written live" in problems[0]


def test_a_window_with_other_bytes_is_noticed(tmp_path: Path) -> None:
    def spoil(live: list[Message]) -> list[Message]:
        window = decode_as(LabelledWindow, live[0].value or b"")
        return [live[0]._replace(value=encode(replace(window, labels=(), values=window.values[::-1]))), *live]

    problems = compared(tmp_path, spoil)
    assert len(problems) == 1
    assert " live, " in problems[0]


def test_a_window_too_many_is_noticed(tmp_path: Path) -> None:
    def add(live: list[Message]) -> list[Message]:
        window = decode_as(LabelledWindow, live[0].value or b"")
        return [*live, live[0]._replace(value=encode(replace(window, service="ghost")))]

    problems = compared(tmp_path, add)
    assert len(problems) == 1
    assert "of ghost, revision 0: written live, not in the dataset" in problems[0]


def test_a_run_without_a_live_processor_can_not_be_compared(dataset: Path, recorded: MemoryBroker) -> None:
    text = (dataset / "manifest.json").read_text()
    (dataset / "manifest.json").write_text(text.replace("labelled-windows/", "unlabelled-windows/"))
    with pytest.raises(InvalidInput, match="no live processor"):
        verify_against_live(dataset, recorded)
