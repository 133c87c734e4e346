from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from microservo import application
from microservo.application.command import Command, Context
from microservo.application.connection import Connection
from microservo.application.datasets import HashDataset, ImportRecording
from microservo.application.faults import ListFaults, ListKinds, StopFault
from microservo.application.runs import ListRuns
from microservo.application.table import HANDLERS, execute
from microservo.application.topics import EnsureTopics, ListTopics
from microservo.errors import InvalidInput, Unavailable
from microservo.testing import MemoryBroker


def every_command() -> Iterator[type[Command[Any]]]:
    for module in pkgutil.iter_modules(application.__path__, "microservo.application."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Command) and value is not Command:
                yield value


def no_connection() -> Connection:
    msg = "no running system"
    raise Unavailable(msg)


def test_every_command_has_a_handler_and_is_a_frozen_value() -> None:
    assert set(every_command()) == set(HANDLERS)
    for command in HANDLERS:
        assert dataclasses.is_dataclass(command)
        assert command.__dataclass_params__.frozen, command
        assert all(field.kw_only for field in dataclasses.fields(command)), command


def test_what_needs_no_broker_works_without_one() -> None:
    context = Context(no_connection)
    kinds = execute(ListKinds(), context)
    assert {kind.available for kind in kinds} == {None}
    with pytest.raises(InvalidInput, match="did you mean 'network-delay'"):
        execute(ListKinds(name="network-dealy"), context)
    with pytest.raises(Unavailable, match="no running system"):
        execute(ListFaults(), context)


def test_a_folder_that_is_no_dataset_is_refused_without_a_broker(tmp_path: Any) -> None:
    with pytest.raises(InvalidInput, match="rebuild the dataset"):
        execute(HashDataset(folder=tmp_path), Context(no_connection))


def test_an_act_is_carried_out_on_the_broker_and_prefix_of_its_context() -> None:
    broker = MemoryBroker()
    context = Context(lambda: Connection(broker=broker, topic_prefix="lab-"))
    assert "lab-fault-events" in execute(EnsureTopics(partitions=1), context)
    (events,) = execute(ListTopics(name="fault-events"), context)
    assert events.name == "lab-fault-events"
    with pytest.raises(InvalidInput, match="there is no fault 'f'"):
        execute(StopFault(fault_id="f"), context)


def test_a_connection_is_made_once_whatever_progress_is_shown() -> None:
    made: list[Connection] = []

    def connect() -> Connection:
        made.append(Connection(broker=MemoryBroker(), topic_prefix=""))
        return made[-1]

    context = Context(connect)
    assert context.with_progress(context.progress).connection is context.connection
    assert len(made) == 1


@pytest.mark.parametrize(
    ("speed", "words"), [(0.0, "is no speed"), (float("nan"), "is no speed"), (60.0, "needs a Kafka broker")]
)
def test_an_import_that_cant_begin_is_refused_before_a_run_is_made(
    speed: float, words: str, tmp_path: Any
) -> None:
    broker = MemoryBroker()
    context = Context(lambda: Connection(broker=broker, topic_prefix=""))
    execute(EnsureTopics(partitions=1), context)
    with pytest.raises(InvalidInput, match=words):
        execute(ImportRecording(path=tmp_path, speed=speed), context)
    assert list(execute(ListRuns(), context)) == []


def test_an_import_of_a_range_that_ends_before_it_begins_is_refused(tmp_path: Any) -> None:
    context = Context(lambda: Connection(broker=MemoryBroker(), topic_prefix=""))
    end, begin = datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput, match=r"--to 2026-01-31.* is not after --from 2026-02-01"):
        execute(ImportRecording(path=tmp_path, from_at=begin, to_at=end), context)
