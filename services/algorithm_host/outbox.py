"""Records on their way out, and up to where everything that came of the windows is durable."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from microservo.log.publisher import Publisher
from services.algorithm_host.memory import Memory

_FLUSH_S = 10.0


class Outbox:
    """Holds records until the broker has them; a busy broker loses none.

    Args:
        publisher: writes them.
        memory: keeps how far everything was published.
    """

    def __init__(self, publisher: Publisher, memory: Memory) -> None:
        self._publisher = publisher
        self._memory = memory
        self._records: deque[object] = deque()
        self._published = memory.published()
        self._is_durable = True

    def is_published(self, partition: int, offset: int) -> bool:
        """Whether what came of a message was published, now or by an earlier process."""
        return offset < self._published.get(partition, 0)

    @property
    def is_durable(self) -> bool:
        """Whether the broker has all that was added: what was learned may be put away only then.

        Otherwise a later process would go on behind windows whose scores nobody has.
        """
        return self._is_durable

    def add(self, record: object) -> None:
        """Adds a record."""
        self._records.append(record)
        self._is_durable = False

    def send(self, next_offsets: Mapping[int, int]) -> None:
        """Publishes all and writes down how far that is, by partition.

        Raises:
            Retryable: the broker is busy; call it again.
        """
        while self._records:
            self._publisher.publish(self._records[0])
            self._records.popleft()
        self._publisher.flush(_FLUSH_S)
        self._is_durable = True
        ahead = {at: offset for at, offset in next_offsets.items() if not self.is_published(at, offset - 1)}
        if ahead:
            self._published |= ahead
            self._memory.write_published(self._published)
