"""Messages that were read before their time has come, by partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from microservo.adapters.broker import Message, Partition

_OVERHEAD_BYTES = 500
"""What a message takes beside its value."""


class Backlog:
    """Queues of messages.

    Args:
        partitions: all that there may be messages of.

    Attributes:
        size_bytes: about how much memory the messages take.
    """

    def __init__(self, partitions: Iterable[Partition]) -> None:
        self._queues: dict[Partition, deque[Message]] = {each: deque() for each in partitions}
        self.size_bytes = 0

    def add(self, partition: Partition, message: Message) -> None:
        """Puts a message behind the others of its partition."""
        self._queues[partition].append(message)
        self.size_bytes += _size_bytes(message)

    def has(self, partitions: Iterable[Partition]) -> bool:
        """Whether there is a message of any of these."""
        return any(self._queues[each] for each in partitions)

    def pop(self, partitions: Sequence[Partition], most: int) -> list[Message]:
        """Removes messages of these partitions, about equally many of each, in their order."""
        waiting = [queue for each in partitions if (queue := self._queues[each])]
        taken: list[Message] = []
        for queue in waiting:
            fair = max(1, most // len(waiting))
            taken += islice(iter(queue.popleft, None), min(fair, len(queue), most - len(taken)))
        self.size_bytes -= sum(map(_size_bytes, taken))
        return taken


def _size_bytes(message: Message) -> int:
    return len(message.value or b"") + _OVERHEAD_BYTES
