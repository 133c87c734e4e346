"""The interface of brokers: the semantics of consuming and producing, written once.

Two implementations, held by one contract suite: `microservo.adapters.kafka` and `microservo.adapters.memory`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self

Headers = tuple[tuple[str, bytes], ...]


class Partition(NamedTuple):
    """One partition of one topic, by its physical name."""

    topic: str
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs on two values


class Message(NamedTuple):
    """One message as it lies in the log; `value` None is a tombstone. One is made for each that is read."""

    topic: str
    partition: int
    offset: int
    timestamp_us: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    def header(self, name: str) -> bytes | None:
        """The last value of a header, or None."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


class Consumer(Protocol):
    """Reads messages in offset order within each partition; belongs to one thread.

    Either `subscribe` (partitions shared among the members of the group) or `assign` (these and no others).
    Nothing is committed unless `commit` is called.
    """

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: Callable[[list[Partition]], None] | None = None,
        on_revoke: Callable[[list[Partition]], None] | None = None,
    ) -> None:
        """Joins the group for the topics, in place of what was subscribed or assigned before.

        Callbacks run inside `consume` (`on_revoke` also inside `close`) and may commit; what they raise comes
        out of there. A partition without a commit starts at the position that the consumer was made with
        (earliest or latest). Partitions are shared by range: partition i of co-partitioned topics goes to the
        same member. A rebalance takes all of a member's partitions before it gives any, all running.
        """

    def assign(self, positions: Mapping[Partition, int]) -> None:
        """Reads exactly these partitions from these offsets, whatever was subscribed, assigned or paused.

        An offset that the log does not have is `Fatal` at the next `consume`, if the consumer has no group.

        Raises:
            InvalidInput: there is no such topic or partition.
        """

    def consume(self, max_messages: int, timeout_s: float) -> list[Message]:
        """Up to `max_messages`, fewer once `timeout_s` has passed; [] when there are none.

        Raises:
            Fatal: the broker refused for good (authorization, unknown topic).
        """

    def commit(self, positions: Mapping[Partition, int]) -> None:
        """Stores the next offset to read of each partition, synchronously.

        Raises:
            Retryable: a partition is not this member's (any more), or the broker did not answer.
        """

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Stops fetching these partitions; `consume` goes on serving the others."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Takes up paused partitions where they stopped."""

    def partitions(self, topic: str) -> list[Partition]:
        """All partitions of a topic, by index.

        Raises:
            InvalidInput: there is no such topic.
        """

    def offset_range(self, partition: Partition) -> tuple[int, int]:
        """First offset kept and next offset to be written.

        Raises:
            InvalidInput: there is no such partition.
            Retryable: the broker is away for now.
        """

    def offset_at(self, partition: Partition, time_us: int) -> int:
        """First offset whose timestamp is at least `time_us`; the end offset where none is.

        A timestamp is kept in whole milliseconds: the microseconds that a message was sent with are cut off.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Producer(Protocol):
    """Writes messages, in order per partition, idempotently, acknowledged by all replicas.

    Keys are partitioned by `murmur2_random`, as Java and Faust do.
    """

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_us: int | None = None,
        on_delivery: Callable[[Message], None] | None = None,
    ) -> None:
        """Queues one message. `on_delivery` is called (from another thread) once it is durable.

        Raises:
            Retryable: the queue is full; serve other work and try again.
            InvalidInput: larger than the topic accepts, or there is no such topic or partition.
            Fatal: an earlier message could not be delivered.
        """

    def flush(self, timeout_s: float) -> None:
        """Waits until all that was sent is durable.

        Raises:
            Retryable: messages were still waiting when the time ran out.
            Fatal: a message could not be delivered.
        """

    def partition_for(self, topic: str, key: bytes) -> int:
        """The partition that `key` lands on."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """A topic as the broker has it."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic as it should be."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str]


class Admin(Protocol):
    """Creates and describes topics."""

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Creates the topics that are missing and returns their names; others are left as they are.

        Raises:
            InvalidInput: a topic exists with another number of partitions.
        """

    def cluster_id(self) -> str:
        """What tells this log from all others; another one for a broker whose data was deleted.

        Raises:
            Unavailable: no broker answers.
        """

    def topics(self) -> list[TopicState]:
        """Every topic but the broker's own, by name."""

    def begin_group(self, group_id: str, topics: Sequence[str]) -> None:
        """Commits where the log begins for each partition of which the group has committed nothing yet.

        A group that has members is left as it is: they commit themselves.

        Raises:
            InvalidInput: there is no such topic.
            Retryable: the broker is away for now.
        """

    def wait_ready(self, timeout_s: float) -> None:
        """Returns once the broker answers.

        Raises:
            Unavailable: it did not answer in time.
        """


class Broker(Protocol):
    """Where the clients of one broker come from; each client belongs to who made it and is closed by them."""

    def consumer(
        self, *, group_id: str | None, start: Literal["earliest", "latest"] = "earliest"
    ) -> Consumer:
        """A consumer. Without a group it can only `assign`, and it can't commit: that is `InvalidInput`.

        Args:
            group_id: the group that shares partitions and commits.
            start: where a partition without a commit begins.

        Raises:
            Unavailable: no broker answers.
        """

    def producer(self, *, linger_ms: int = 5) -> Producer:
        """A producer.

        Args:
            linger_ms: how long a message may wait for company in its batch, in milliseconds.

        Raises:
            Unavailable: no broker answers.
        """

    def admin(self) -> Admin:
        """An admin, also while no broker answers."""
