"""A consumer of the in-memory broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self

from microservo.adapters.broker import Message, Partition
from microservo.adapters.memory.membership import Membership
from microservo.adapters.memory.store import Store
from microservo.errors import Fatal, InvalidInput, Retryable


class MemoryConsumer:
    """`Consumer` in memory."""

    def __init__(self, store: Store, *, group_id: str | None, start: Literal["earliest", "latest"]) -> None:
        self._store = store
        self._group = None if group_id is None else store.group(group_id)
        self._start = start
        self._membership: Membership | None = None
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()

    def subscribe(
        self,
        topics: Sequence[str],
        *,
        on_assign: Callable[[list[Partition]], None] | None = None,
        on_revoke: Callable[[list[Partition]], None] | None = None,
    ) -> None:
        if self._group is None:
            msg = "a consumer without a group can't subscribe; give it a group_id"
            raise InvalidInput(msg)
        self._leave()
        self._membership = Membership(
            self._store, self._group, topics, on_assign=on_assign, on_revoke=on_revoke
        )

    def assign(self, positions: Mapping[Partition, int]) -> None:
        for partition in positions:
            self._store.log(partition)
        self._leave()
        self._positions = dict(positions)

    def consume(self, max_messages: int, timeout_s: float) -> list[Message]:
        deadline = time.monotonic() + timeout_s
        taken: list[Message] = []
        while True:
            self._settle()
            with self._store.changed:
                taken += self._next_messages(max_messages - len(taken))
                left_s = deadline - time.monotonic()
                if len(taken) == max_messages or left_s <= 0:
                    return taken
                self._store.changed.wait(left_s)

    def commit(self, positions: Mapping[Partition, int]) -> None:
        if self._group is None:
            msg = "a consumer without a group can't commit; give it a group_id"
            raise InvalidInput(msg)
        with self._store.changed:
            for partition in positions:
                self._refuse_lost(partition)
            self._group.committed.update(positions)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._paused.difference_update(partitions)

    def partitions(self, topic: str) -> list[Partition]:
        with self._store.changed:
            return [Partition(topic, index) for index in range(self._store.topic(topic).spec.partitions)]

    def offset_range(self, partition: Partition) -> tuple[int, int]:
        with self._store.changed:
            return 0, len(self._store.log(partition))

    def offset_at(self, partition: Partition, time_us: int) -> int:
        return self._store.offset_at(partition, time_us)

    def close(self) -> None:
        self._leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _leave(self) -> None:
        if self._membership is not None:
            self._membership.leave()
        self._membership = None
        self._positions = {}
        self._paused = set()

    def _settle(self) -> None:
        """Takes part in a change of the group; its callbacks run here, outside the lock."""
        if self._membership is None:
            return
        with self._store.changed:
            unknown = sorted(self._membership.topics - self._store.topics.keys())
        if unknown:
            msg = f"there is no topic {unknown[0]!r}; create it with ensure_topics"
            raise Fatal(msg)
        got = self._membership.settle()
        if got is not None:
            self._positions = {partition: self._first(partition) for partition in got}
            self._paused = set()

    def _first(self, partition: Partition) -> int:
        committed = {} if self._group is None else self._group.committed
        begin, end = self.offset_range(partition)
        return committed.get(partition, begin if self._start == "earliest" else end)

    def _next_messages(self, wanted: int) -> list[Message]:
        taken: list[Message] = []
        for partition in self._fetched():
            if len(taken) == wanted:
                break
            at = self._positions.pop(partition)
            found = self._read(partition, at, wanted - len(taken))
            # Put back at the end, so that the next turn begins with another partition.
            self._positions[partition] = at + len(found)
            taken += found
        return taken

    def _fetched(self) -> list[Partition]:
        """The partitions to read from now, least recently read first."""
        holding = self._membership is None or self._membership.settled
        return [each for each in self._positions if each not in self._paused] if holding else []

    def _read(self, partition: Partition, at: int, wanted: int) -> list[Message]:
        log = self._store.log(partition)
        if not 0 <= at <= len(log):
            msg = f"{partition.topic}[{partition.index}] has offsets 0 to {len(log)}, asked for {at}"
            raise Fatal(msg)
        return log[at : at + wanted]

    def _refuse_lost(self, partition: Partition) -> None:
        if self._membership is not None and not self._membership.holds(partition):
            topic, index = partition
            msg = f"{topic}[{index}] is not this member's any more; its new owner commits it"
            raise Retryable(msg)
