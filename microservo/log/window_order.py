"""Windows of a run as a consumer reads them, those of all partitions put in one order of time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from microservo.adapters.broker import Consumer, Message, Partition
from microservo.log.feature_windows import Received
from schemas.records import FeatureWindow

AHEAD_WINDOWS = 1
"""So far a window may be ahead of a partition of which nothing is known since: at the ends of the log, the
windows of an instant come one partition after the other, and none should wait for the others."""
BURST_WINDOWS = 4
"""With so many windows at hand the reader is behind, and a short wait costs nobody a prompt score."""
UNHEARD_S = 0.5
"""Then it is waited so long for a partition that has never said anything: who catches up writes all of them
at about the same time, and one may be on the log a moment before another."""
HELD_BYTES = 16 * 2**20
"""Of messages; the windows that they hold take about four times as much."""
_OVERHEAD_BYTES = 500
_LONG_AGO_US = -(1 << 62)


class WindowOrder:
    """Holds windows back until all partitions that have something to read were read as far.

    A broker hands out one partition in large pieces, so what is read of a log that has grown is hours of one
    partition before the first message of another. Of a partition without a message at hand, the end of its
    log is asked: while something lies there it is waited for, however long that takes; where nothing does,
    nobody waits. At the ends of the log that is at most one question for each quiet partition and window.

    Every offset up to the end of a log is taken to hold a message: the topic is neither compacted nor written
    in transactions.

    Args:
        consumer: reads these partitions from `begins`, and maybe other topics.
        begins: by partition, where it begins to read.
        window_us: size of a window, in microseconds.
        held_bytes: with more than about this many held back, only what is waited for is read on.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        consumer: Consumer,
        begins: Mapping[Partition, int],
        *,
        window_us: int,
        held_bytes: int = HELD_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._window_us = window_us
        self._most_bytes = held_bytes
        self._clock = clock
        self._read = dict(begins)
        self._ends = dict(begins)
        self._held: dict[Partition, deque[Received]] = {each: deque() for each in sorted(begins)}
        self._known_us = dict.fromkeys(begins, _LONG_AGO_US)
        """Windows that begin by then were read, as far as they were on the log by now."""
        self._unheard = set(begins)
        self._waits_since_s: dict[Partition, float] = {}
        self._newest_us = _LONG_AGO_US
        self._batch: list[Received] = []
        self._held_bytes = 0
        self._paused: list[Partition] = []

    @property
    def held_bytes(self) -> int:
        """About how many bytes the messages take that were read and not given yet."""
        return self._held_bytes

    @property
    def next_offsets(self) -> dict[Partition, int]:
        """By partition, the first message that was not given and done."""
        found = {at: queue[0].message.offset if queue else self._read[at] for at, queue in self._held.items()}
        for each in reversed(self._batch):
            found[_partition(each.message)] = each.message.offset
        return found

    def add(self, message: Message, window: FeatureWindow | None) -> None:
        """Adds the next message of a partition; one that was added before counts no more.

        Args:
            message: from one of the partitions.
            window: what it holds; None where that is none of the run's.
        """
        partition = _partition(message)
        if message.offset < self._read[partition]:
            return
        self._read[partition] = message.offset + 1
        if window is None:
            return
        self._held[partition].append(Received(window=window, message=message))
        self._held_bytes += _size_bytes(message)
        self._unheard.discard(partition)
        self._newest_us = max(self._newest_us, window.start_us)

    def is_known(self, message: Message) -> bool:
        """Whether a message was added before."""
        return message.offset < self._read[_partition(message)]

    def next_batch(self, most: int) -> Sequence[Received]:
        """The next windows in order of time; the same ones again until they are `done`; none while it waits.

        Raises:
            Retryable: the broker is away for now; ask again.
        """
        self._pace()
        while len(self._batch) < most:
            queues = [queue for queue in self._held.values() if queue]
            first = min(queues, key=_turn, default=None)
            if first is None or not self._may_go(first[0].window.start_us):
                break
            each = first.popleft()
            partition = _partition(each.message)
            self._known_us[partition] = max(self._known_us[partition], each.window.start_us)
            self._batch.append(each)
        return tuple(self._batch)

    def done(self) -> None:
        """The windows of the last batch were taken."""
        self._held_bytes -= sum(_size_bytes(each.message) for each in self._batch)
        self._batch.clear()

    def _may_go(self, start_us: int) -> bool:
        """Whether nothing that begins long before a window lies on the log unread."""
        needed_us = start_us - AHEAD_WINDOWS * self._window_us
        behind = [at for at, queue in self._held.items() if not queue and self._known_us[at] < needed_us]
        return all([self._has_nothing(at, start_us) for at in behind])

    def _has_nothing(self, partition: Partition, start_us: int) -> bool:
        """Whether a partition was read to its end."""
        if self._read[partition] < self._ends[partition]:
            return False
        # Asked after all that is held was read, so the answer counts for all of that.
        _, self._ends[partition] = self._consumer.offset_range(partition)
        if self._read[partition] < self._ends[partition]:
            return False
        if partition in self._unheard and self._newest_us - start_us >= BURST_WINDOWS * self._window_us:
            now_s = self._clock()
            if now_s - self._waits_since_s.setdefault(partition, now_s) < UNHEARD_S:
                return False
        self._waits_since_s.pop(partition, None)
        self._known_us[partition] = self._newest_us
        return True

    def _pace(self) -> None:
        """Pauses what is ahead while too much is held back, so that it stays bounded."""
        if self._held_bytes > self._most_bytes and not self._paused:
            self._paused = [at for at, queue in self._held.items() if queue]
            self._consumer.pause(self._paused)
        elif self._paused and self._held_bytes <= self._most_bytes // 2:
            self._consumer.resume(self._paused)
            self._paused = []


def _turn(queue: deque[Received]) -> tuple[int, str]:
    return queue[0].window.start_us, queue[0].window.service


def _partition(message: Message) -> Partition:
    return Partition(message.topic, message.partition)


def _size_bytes(message: Message) -> int:
    return len(message.value or b"") + _OVERHEAD_BYTES
