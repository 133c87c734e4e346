"""The log and the groups of the in-memory broker, under one lock."""

from __future__ import annotations

import threading
import uuid
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from microservo.adapters.broker import Message, Partition, TopicSpec
from microservo.adapters.limits import DEFAULT_MAX_MESSAGE_BYTES, TopicLimits
from microservo.errors import InvalidInput


@dataclass(slots=True)
class Topic:
    """One topic: its specification and the messages of each partition."""

    spec: TopicSpec
    logs: list[list[Message]]

    @property
    def limits(self) -> TopicLimits:
        """What a message must fit."""
        limit = int(self.spec.config.get("max.message.bytes", DEFAULT_MAX_MESSAGE_BYTES))
        return TopicLimits(partitions=self.spec.partitions, max_message_bytes=limit)


@dataclass(slots=True, eq=False)
class Member:
    """One consumer of a group.

    Attributes:
        topics: what it subscribed to.
        generation: the last one in which it gave up what it held.
        held: its partitions; None between giving up and getting.
    """

    topics: frozenset[str]
    generation: int = -1
    held: list[Partition] | None = None


@dataclass(slots=True)
class Group:
    """Members in the order they came, and the committed positions."""

    members: dict[int, Member] = field(default_factory=dict)
    committed: dict[Partition, int] = field(default_factory=dict)
    generation: int = 0

    @property
    def released(self) -> bool:
        """Whether all members have given up what they held before."""
        return all(member.generation == self.generation for member in self.members.values())


class Store:
    """Everything that the clients of one in-memory broker share.

    `changed` guards it all, and is notified of every change.

    Args:
        clock: gives the time of messages that carry none, in epoch microseconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.clock = clock
        self.cluster_id = uuid.uuid4().hex
        self.topics: dict[str, Topic] = {}
        self.groups: dict[str, Group] = {}

    def topic(self, name: str) -> Topic:
        """The topic of this name.

        Raises:
            InvalidInput: there is none.
        """
        if name not in self.topics:
            msg = f"there is no topic {name!r}; create it with ensure_topics"
            raise InvalidInput(msg)
        return self.topics[name]

    def log(self, partition: Partition) -> list[Message]:
        """The messages of a partition.

        Raises:
            InvalidInput: there is no such partition.
        """
        logs = self.topic(partition.topic).logs
        if not 0 <= partition.index < len(logs):
            msg = f"{partition.topic} has no partition {partition.index}; it has {len(logs)}"
            raise InvalidInput(msg)
        return logs[partition.index]

    def create(self, spec: TopicSpec) -> None:
        """Adds a topic without messages."""
        with self.changed:
            self.topics[spec.name] = Topic(spec, [[] for _ in range(spec.partitions)])
            for group in self.groups.values():
                group.generation += 1
            self.changed.notify_all()

    def append(self, message: Message) -> Message:
        """Adds a message at the end of its partition and returns it with its offset."""
        with self.changed:
            log = self.log(Partition(message.topic, message.partition))
            stored = message._replace(offset=len(log))
            log.append(stored)
            self.changed.notify_all()
            return stored

    def offset_at(self, partition: Partition, time_us: int) -> int:
        """The first offset whose timestamp is at least `time_us`, or the end."""
        with self.changed:
            # The running maximum is sorted, and first reaches the time at the very message asked for.
            highest = list(accumulate((message.timestamp_us for message in self.log(partition)), max))
        return bisect_left(highest, time_us)

    def group(self, name: str) -> Group:
        """The group of this name, made at first use."""
        with self.changed:
            return self.groups.setdefault(name, Group())

    def shares(self, group: Group, wanted: Member) -> list[Partition]:
        """What falls to a member: a range of the partitions of each topic."""
        shares: list[Partition] = []
        for name in sorted(wanted.topics):
            members = [member for member in group.members.values() if name in member.topics]
            shares += _range_of(self._partitions(name), members.index(wanted), len(members))
        return shares

    def _partitions(self, name: str) -> list[Partition]:
        found = self.topics.get(name)
        return [] if found is None else [Partition(name, index) for index in range(found.spec.partitions)]


def _range_of(partitions: Sequence[Partition], position: int, members: int) -> Sequence[Partition]:
    each, more = divmod(len(partitions), members)
    first = position * each + min(position, more)
    return partitions[first : first + each + (position < more)]
