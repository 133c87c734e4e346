"""A consumer of a real Kafka."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Self

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from microservo.adapters.broker import Message, Partition
from microservo.adapters.kafka.connection import made, verify
from microservo.adapters.kafka.errors import (
    ErrorLog,
    is_lasting,
    is_leaderless,
    is_unknown,
    translate,
    translated,
)
from microservo.adapters.kafka.message import to_message
from microservo.adapters.kafka.options import KafkaSettings, Start, consumer_options
from microservo.errors import Fatal, InvalidInput, MicroServoError, Retryable, Unavailable
from microservo.retry import retry

Listener = Callable[[list[Partition]], None]

_LEADER_S = 10.0
"""How long it is waited for a leader: a broker that stood still for some seconds leads nothing at first."""


class _NoLeader(Retryable):
    """A partition has no leader for now."""


class KafkaConsumer:
    """`Consumer` on confluent-kafka.

    In a group, a position that is gone from the log falls back to the consumer's start instead of failing.
    """

    def __init__(self, settings: KafkaSettings, *, group_id: str | None, start: Start) -> None:
        self._settings = settings
        self._group_id = group_id
        self._log_error = ErrorLog()
        self._failure: MicroServoError | None = None
        # Kept here because a commit is refused by the broker only for a member of an old generation.
        self._held: frozenset[Partition] | None = None
        self._topics: list[str] = []
        self._on_assign: Listener | None = None
        self._on_revoke: Listener | None = None
        options = consumer_options(settings, group_id=group_id, start=start)
        self._client = made(confluent_kafka.Consumer, options | {"error_cb": self._on_error})
        try:
            verify(self._client, settings)
        except BaseException:
            self._client.close()
            raise

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: Listener | None = None,
        on_revoke: Listener | None = None,
    ) -> None:
        self._needs_group("subscribe")
        self._on_assign, self._on_revoke = on_assign, on_revoke
        self._topics = list(topics)
        self._held = frozenset()
        with translated(f"subscribe to {', '.join(topics)}"):
            self._join()

    def assign(self, positions: Mapping[Partition, int]) -> None:
        # librdkafka would wait for unknown ones for ever, without a word.
        self._refuse_unknown(positions)
        with translated("take up the assigned partitions"):
            self._client.unsubscribe()
            self._client.assign(_with_offsets(positions))
            # The client keeps a partition paused over this.
            self._client.resume(_plain(positions))
        self._topics, self._held = [], None

    def consume(self, max_messages: int, timeout_s: float) -> list[Message]:
        with translated("consume"):
            raw = self._client.consume(max_messages, timeout_s)
        if self._failure is not None:
            raise self._failure
        return [to_message(each) for each in raw if not self._is_error(each.error())]

    def commit(self, positions: Mapping[Partition, int]) -> None:
        self._needs_group("commit")
        for topic, index in positions:
            if self._held is not None and (topic, index) not in self._held:
                msg = f"{topic}[{index}] is not this member's any more; its new owner commits it"
                raise Retryable(msg)
        with translated("commit"):
            offsets = _with_offsets(positions)
            stored = self._client.commit(offsets=offsets, asynchronous=False) if offsets else []
        for each in stored:
            if each.error is not None:
                raise translate(each.error, f"commit {each.topic}[{each.partition}]")

    def pause(self, partitions: Sequence[Partition]) -> None:
        with translated("pause"):
            self._client.pause(_plain(partitions))

    def resume(self, partitions: Sequence[Partition]) -> None:
        with translated("resume"):
            self._client.resume(_plain(partitions))

    def partitions(self, topic: str) -> list[Partition]:
        with translated(f"list the partitions of {topic}"):
            found = self._client.list_topics(topic, timeout=self._settings.connect_timeout_s).topics[topic]
        if found.error is not None:
            raise translate(found.error, f"list the partitions of {topic}")
        return [Partition(topic, index) for index in sorted(found.partitions)]

    def offset_range(self, partition: Partition) -> tuple[int, int]:
        def ask() -> tuple[int, int]:
            with self._asking(partition):
                return self._client.get_watermark_offsets(
                    TopicPartition(*partition), timeout=self._settings.connect_timeout_s
                )

        return retry(ask, timeout_s=_LEADER_S, passing=_NoLeader)

    def offset_at(self, partition: Partition, time_us: int) -> int:
        # Kafka keeps milliseconds: the first whole one that is not before the time asked for.
        wanted = TopicPartition(*partition, -(-time_us // 1000))

        def ask() -> int:
            with self._asking(partition):
                found = self._client.offsets_for_times([wanted], timeout=self._settings.connect_timeout_s)[0]
                if found.error is not None:
                    raise KafkaException(found.error)
            return int(found.offset)

        offset = retry(ask, timeout_s=_LEADER_S, passing=_NoLeader)
        return offset if offset >= 0 else self.offset_range(partition)[1]

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _asking(self, partition: Partition) -> Iterator[None]:
        try:
            yield
        except KafkaException as exc:
            if is_unknown(exc.args[0]):
                # So it calls also one whose broker is away.
                self._refuse_unknown([partition])
            if is_unknown(exc.args[0]) or is_leaderless(exc.args[0]):
                msg = f"{partition.topic}[{partition.index}] has no leader for now; ask again"
                raise _NoLeader(msg) from exc
            raise translate(exc.args[0], f"ask for offsets of {partition.topic}[{partition.index}]") from exc

    def _refuse_unknown(self, partitions: Iterable[Partition]) -> None:
        try:
            topics = verify(self._client, self._settings).topics
        except Unavailable as exc:
            # It answered when this consumer was made: it will be back.
            raise Retryable(str(exc)) from exc
        for topic, index in partitions:
            if topic not in topics or index not in topics[topic].partitions:
                msg = f"there is no {topic}[{index}]; `microservo topics ensure` makes our topics"
                raise InvalidInput(msg)

    def _get(self, _client: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        got = _ours(partitions)
        self._held = frozenset(got)
        if self._on_assign is not None:
            self._on_assign(got)

    def _revoke(self, _client: confluent_kafka.Consumer, partitions: list[TopicPartition]) -> None:
        try:
            if self._on_revoke is not None:
                self._on_revoke(_ours(partitions))
        finally:
            self._held = frozenset()

    def _needs_group(self, act: str) -> None:
        if self._group_id is None:
            msg = f"a consumer without a group can't {act}; give it a group_id"
            raise InvalidInput(msg)

    def _is_error(self, error: KafkaError | None) -> bool:
        """Whether it is one that joining the group anew mends; raises for others."""
        if error is None:
            return False
        ours = translate(error, "consume")
        if not isinstance(ours, Retryable):
            raise Fatal(str(ours))
        self._log_error(error)
        self._join()
        return True

    def _join(self) -> None:
        """Joins the group, also anew.

        Where a broker was restarted and no longer coordinates the group, librdkafka gives up asking for the
        committed offsets but keeps the assignment: without joining anew its partitions would stay silent.
        """
        if self._topics:
            self._client.unsubscribe()
            self._client.subscribe(self._topics, on_assign=self._get, on_revoke=self._revoke)

    def _on_error(self, error: KafkaError) -> None:
        """Keeps what can't mend itself; lost connections can."""
        if is_lasting(error):
            self._failure = Fatal(str(translate(error, "consume")))
        else:
            self._log_error(error)


def _ours(partitions: list[TopicPartition]) -> list[Partition]:
    return sorted(Partition(each.topic, each.partition) for each in partitions)


def _with_offsets(positions: Mapping[Partition, int]) -> list[TopicPartition]:
    return [TopicPartition(*partition, offset) for partition, offset in positions.items()]


def _plain(partitions: Sequence[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]
