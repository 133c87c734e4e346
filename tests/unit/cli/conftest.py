from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.cli.root import cli
from microservo.cli.session import Session
from microservo.client.client import Client
from microservo.testing import ManualClock, MemoryBroker
from schemas.codec import encode

NOON_US = 1_800_000_000_000_000
Run = Callable[..., Result]
Put = Callable[..., None]


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(ManualClock(NOON_US))
    Client(broker=broker).topics.ensure(partitions=2)
    return broker


@pytest.fixture
def run(broker: MemoryBroker) -> Run:
    """Calls the command line on a broker in memory."""
    connection = Connection(broker=broker, topic_prefix="")
    session = Session(make_context=lambda: Context(lambda: connection, clock=ManualClock(NOON_US)))

    def call(*arguments: str, answers: str = "") -> Result:
        return CliRunner().invoke(cli, arguments, obj=session, input=answers)

    return call


@pytest.fixture
def put(broker: MemoryBroker) -> Put:
    """Puts records on a topic."""

    def write(topic: str, key: str, *records: object) -> None:
        with broker.producer() as producer:
            for record in records:
                producer.send(topic, key=key.encode(), value=encode(record))

    return write
