"""Answering lists from the catalogue, where it has all that the topics say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Engine, func, select

from microservo.adapters.broker import Broker
from microservo.catalogue.database import reported
from microservo.catalogue.deadline import within
from microservo.catalogue.mapping import TOPICS
from microservo.catalogue.tables import LOG, METADATA, OWN
from microservo.catalogue.writing import Place, offsets
from microservo.errors import InvalidInput, Retryable
from microservo.log.faults import in_order
from schemas import catalogue
from schemas.codec import decode_as
from schemas.records import AlgorithmDeployment, AlgorithmState, Experiment, FaultEvent

R = TypeVar("R")

_CATCH_UP_S = 0.3
"""A projector that is at work is waited for as long."""
_FIRST_S = 0.7
"""Until the database was reached and has all; over the internet a server takes some tenths of a second."""
_ROWS_S = 10.0
"""Until the rows are there; a scan of what takes as long to read as rows takes far longer."""
_LOOK_EVERY_S = 0.02


class Catalogue:
    """A catalogue to read from.

    Args:
        broker: whose topics it is to be up to date with.
        engine: of its database.
        url: of the same; only its place is ever told.
        topic_prefix: put before every topic name.
    """

    def __init__(self, broker: Broker, engine: Engine, url: str, topic_prefix: str = "") -> None:
        self._broker = broker
        self._engine = engine
        self._url = url
        self._prefix = topic_prefix

    def runs(self) -> list[Experiment] | None:
        """The newest state of every run, in order of their start."""
        found = self._read((catalogue.EXPERIMENTS,), lambda each: _records(each, "runs"))
        if found is None:
            return None
        runs = [decode_as(Experiment, each) for each in found]
        return sorted(runs, key=lambda run: (run.started_at_us, run.run_id))

    def faults(self, *, history: bool = False, fault_id: str | None = None) -> list[FaultEvent] | None:
        """The newest event of each instance of faults, in order of their requests.

        Args:
            history: of all faults; otherwise of those that the topic `faults` keeps.
            fault_id: of this one only.
        """
        topics = (catalogue.FAULT_EVENTS,) if history else (catalogue.FAULTS, catalogue.FAULT_EVENTS)
        found = self._read(topics, lambda each: _events(each, history=history, fault_id=fault_id))
        return None if found is None else in_order(decode_as(FaultEvent, each) for each in found)

    def algorithms(self) -> tuple[list[AlgorithmDeployment], list[AlgorithmState]] | None:
        """What is deployed, and how far its versions have come."""
        found = self._read(
            (catalogue.ALGORITHMS, catalogue.ALGORITHM_STATES),
            lambda each: (_records(each, "algorithms"), _records(each, "algorithm_states")),
        )
        if found is None:
            return None
        deployments, states = found
        return (
            [decode_as(AlgorithmDeployment, each) for each in deployments],
            [decode_as(AlgorithmState, each) for each in states],
        )

    def ends(self) -> dict[Place, int]:
        """Where the topics that it shows end now.

        Raises:
            InvalidInput: one of them is not there.
        """
        return self._ends(TOPICS)

    def is_of_this_log(self) -> bool:
        """Whether the database was filled from the very topics that it is asked about."""
        with self._engine.connect().execution_options(reads_only=True) as connection:
            return connection.execute(select(LOG.c.log_id)).scalars().all() == [self._log_id()]

    def _log_id(self) -> str:
        return f"{self._broker.admin().cluster_id()}/{self._prefix}"

    def _read(self, topics: Sequence[str], ask: Callable[[Connection], R]) -> R | None:
        """What is asked for, if the database has all that the topics hold now; else None.

        What the topics hold is found out first, and offsets and rows are read in one snapshot. So the answer
        is never older than the question.
        """
        try:
            ends = self._ends(topics)
        except InvalidInput:
            return None  # a topic is missing; who scans says so, or has no need of it
        log_id = self._log_id()

        def look(answered: Callable[[], None]) -> R | None:
            deadline_s = time.monotonic() + _CATCH_UP_S
            while True:
                with (
                    reported(self._url),
                    self._engine.connect().execution_options(reads_only=True) as connection,
                ):
                    if connection.execute(select(LOG.c.log_id)).scalars().all() != [log_id]:
                        return None
                    stored = offsets(connection)
                    if all(stored.get(place, -1) >= end for place, end in ends.items()):
                        answered()
                        return ask(connection)
                if time.monotonic() > deadline_s:
                    return None
                time.sleep(_LOOK_EVERY_S)

        try:
            return within(look, first_s=_FIRST_S, rest_s=_ROWS_S)
        except Retryable:
            return None

    def _ends(self, topics: Iterable[str]) -> dict[Place, int]:
        with self._broker.consumer(group_id=None) as consumer:
            return {
                (topic, partition.index): consumer.offset_range(partition)[1]
                for topic in topics
                for partition in consumer.partitions(self._prefix + topic)
            }


def counted(engine: Engine) -> dict[str, int]:
    """How many rows each table has, by name."""
    with engine.connect().execution_options(reads_only=True) as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in METADATA.sorted_tables
            if table not in OWN
        }


def _records(connection: Connection, name: str) -> list[bytes]:
    return list(connection.execute(select(METADATA.tables[name].c.record)).scalars())


def _events(connection: Connection, *, history: bool, fault_id: str | None) -> list[bytes]:
    instances, listed = METADATA.tables["fault_instances"], METADATA.tables["listed_faults"]
    asked = select(instances.c.record)
    if not history:
        asked = asked.join(listed, listed.c.fault_id == instances.c.fault_id)
    if fault_id is not None:
        asked = asked.where(instances.c.fault_id == fault_id)
    return list(connection.execute(asked).scalars())
