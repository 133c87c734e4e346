"""Carrying the topics into the database: exactly once, since offsets are stored with their rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Engine, select

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.catalogue.changes import Change
from microservo.catalogue.database import migrate, reported
from microservo.catalogue.entities import EntityJudge
from microservo.catalogue.mapping import TOPICS, changes_of
from microservo.catalogue.tables import LOG
from microservo.catalogue.writing import Place, held_entities, lives, offsets, write, write_offsets
from microservo.errors import Fatal, InvalidInput, InvalidMessage, OffsetGap, Retryable
from microservo.log.system_state import change_in
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas.catalogue import SYSTEM_STATE
from schemas.envelope import HEARTBEAT_KEY

logger = logging.getLogger(__name__)

BATCH = 2000


class Projection:
    """One catalogue, and how far it has come.

    Args:
        broker: where the topics lie.
        engine: of the database.
        url: of the same; only its place is ever told.
        topic_prefix: put before every topic name.
    """

    def __init__(self, broker: Broker, engine: Engine, url: str, topic_prefix: str = "") -> None:
        self._broker = broker
        self._engine = engine
        self._url = url
        self._prefix = topic_prefix
        self._next: dict[Place, int] = {}

    def begin(self, consumer: Consumer) -> None:
        """Makes the schema where it is not there, and assigns the consumer where the database stands.

        Raises:
            Retryable: database, broker or a topic is away for now.
            Fatal: the database is of another log, or the log no longer holds what comes next.
        """
        kept = _kept(consumer, self._prefix)
        log_id = f"{self._broker.admin().cluster_id()}/{self._prefix}"
        with reported(self._url):
            migrate(self._engine)
            with self._engine.begin() as connection:
                _refuse_other_log(connection, log_id)
                stored = offsets(connection, to_write=True)
                new = {place: first for place, (first, _) in kept.items() if place not in stored}
                write_offsets(connection, new)
        self._next = {place: {**stored, **new}[place] for place in kept}
        for (topic, partition), offset in self._next.items():
            _refuse_gap(self._prefix + topic, partition, offset, kept[topic, partition])
        consumer.assign({self._partition(place): offset for place, offset in self._next.items()})

    def handle(self, consumer: Consumer, messages: Sequence[Message]) -> None:
        """Writes what the messages come to, once; those that are in the database already change nothing.

        Raises:
            Retryable: the database is away; nothing of it was written, or all of it was.
        """
        batch = [(self._place(each), each) for each in messages]
        with reported(self._url), self._engine.begin() as connection:
            stored = offsets(connection, to_write=True)
            is_behind = any(stored.get(place, -1) < self._next[place] for place, _ in batch)
            if not is_behind:
                # A try before this may have been written though nobody answered, or somebody else writes too.
                new = [(place, each) for place, each in batch if each.offset >= stored[place]]
                write(connection, self._changes(connection, new))
                write_offsets(connection, {place: each.offset + 1 for place, each in new})
        if is_behind:
            logger.warning("the catalogue is behind where it was, so it was restored or made anew meanwhile")
            self.begin(consumer)
            return
        self._next |= {place: each.offset + 1 for place, each in batch}

    def is_complete(self, ends: dict[Place, int]) -> bool:
        """Whether all before these offsets was written."""
        return all(self._next[place] >= end for place, end in ends.items())

    def ends(self, consumer: Consumer) -> dict[Place, int]:
        """Where the topics end now."""
        return {place: end for place, (_, end) in _kept(consumer, self._prefix).items()}

    def _place(self, message: Message) -> Place:
        return message.topic.removeprefix(self._prefix), message.partition

    def _partition(self, place: Place) -> Partition:
        return Partition(self._prefix + place[0], place[1])

    def _changes(self, connection: Connection, batch: Sequence[tuple[Place, Message]]) -> list[Change]:
        entities = [
            (each.key or b"").decode("utf-8", "replace")
            for (topic, _), each in batch
            if topic == SYSTEM_STATE
        ]
        judge = EntityJudge(
            held_entities(connection, dict.fromkeys(entities)), lives(connection) if entities else {}
        )
        found: list[Change] = []
        for (topic, _), message in batch:
            if message.key == HEARTBEAT_KEY:
                continue
            try:
                found += (
                    judge.read(change_in(message))
                    if topic == SYSTEM_STATE
                    else changes_of(topic, message.key, message.value)
                )
            except InvalidMessage as error:
                RECORDS_TOTAL.labels("projector", topic, "rejected").inc()
                where = f"{message.topic}[{message.partition}] offset {message.offset}"
                logger.warning("%s is left out of the catalogue: %s", where, error)
        return found


def rebuild(broker: Broker, engine: Engine, url: str, topic_prefix: str = "") -> Iterable[tuple[int, int]]:
    """Projects all that lies on the topics now; yields how many offsets are done, and of how many.

    Raises:
        Retryable: database or broker is away.
        Fatal: as `Projection.begin`.
    """
    projection = Projection(broker, engine, url, topic_prefix)
    with broker.consumer(group_id=None) as consumer:
        projection.begin(consumer)
        ends = projection.ends(consumer)
        done, whole, silent = 0, sum(ends.values()), 0
        while not projection.is_complete(ends):
            messages = consumer.consume(BATCH, 0.2)
            silent = 0 if messages else silent + 1
            if silent > _PATIENCE:
                msg = "the broker gave no more messages though more must be there; try again"
                raise Retryable(msg)
            if messages:
                projection.handle(consumer, messages)
                done += len(messages)
                yield min(done, whole), whole
        yield whole, whole


_PATIENCE = 300
"""Rounds of consuming without a message; a minute."""


def _kept(consumer: Consumer, prefix: str) -> dict[Place, tuple[int, int]]:
    try:
        return {
            (topic, partition.index): consumer.offset_range(partition)
            for topic in TOPICS
            for partition in consumer.partitions(prefix + topic)
        }
    except InvalidInput as error:
        msg = f"{error}; `microservo topics ensure` makes it"
        raise Retryable(msg) from error


def _refuse_other_log(connection: Connection, log_id: str) -> None:
    known = connection.execute(select(LOG.c.log_id)).scalars().all()
    if not known:
        connection.execute(LOG.insert(), {"log_id": log_id})
    elif known != [log_id]:
        msg = f"the catalogue is of log {known[0]!r}, not of {log_id!r}; name an empty database"
        raise Fatal(msg)


def _refuse_gap(topic: str, partition: int, offset: int, kept: tuple[int, int]) -> None:
    first, end = kept
    if offset < first:
        raise OffsetGap(topic, partition, offset, first)
    if offset > end:
        msg = (
            f"{topic}[{partition}] ends at {end}, but the catalogue has read it up to {offset}: the topic "
            "was made anew; `microservo catalogue rebuild --replace` does the same with the catalogue"
        )
        raise Fatal(msg)
