"""Writing batches to the log while the broker comes and goes: none is lost, and none overtakes another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from microservo.adapters.broker import Broker, Producer
from microservo.errors import Fatal, Retryable, Unavailable
from microservo.log.publisher import Publisher
from schemas.envelope import Headers

_FLUSH_S = 0.5
_LINGER_MS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """The state of a key is to be deleted."""

    record_type: type
    key: str
    headers: Headers = ()


class ResendingPublisher:
    """Publishes one batch after the other; belongs to one thread.

    A producer gives up after a while and is good for nothing then. Here it is replaced by another one, which
    is given the same batch again: what the first one had written is on the log twice.

    Args:
        broker: whose producers give up soon.
        process: who writes, as of `Publisher`.
        topic_prefix: put before every topic name.
        clock: epoch microseconds UTC.

    Attributes:
        headers: what all records get besides their own.
    """

    def __init__(self, broker: Broker, *, process: str, topic_prefix: str, clock: Callable[[], int]) -> None:
        self._broker = broker
        self._process = process
        self._topic_prefix = topic_prefix
        self._clock = clock
        self.headers: Headers = ()
        self._producer: Producer | None = None
        self._publisher: Publisher | None = None
        self._batch: tuple[object, ...] = ()
        self._waiting: deque[object] = deque()

    def begin(self, batch: Iterable[object]) -> None:
        """Takes a batch of records and deletions, once `finish` has returned for the one before."""
        self._batch = tuple(batch)
        self._waiting = deque(self._batch)

    def finish(self) -> None:
        """Publishes what is left of the batch, and waits until it is durable; an empty one needs no broker.

        Raises:
            Retryable: the broker does not take it for now; call again.
        """
        if not self._batch:
            return
        try:
            publisher = self._connected()
            self._send(publisher)
            publisher.flush(_FLUSH_S)
        except (Fatal, Unavailable) as error:
            self.close()
            self.begin(self._batch)
            msg = f"the broker does not take what {self._process} writes ({error}); it is sent again"
            raise Retryable(msg) from error
        self._batch = ()

    def close(self) -> None:
        """Leaves the broker; what it did not take is lost."""
        if self._producer is not None:
            self._producer.close()
        self._producer = self._publisher = None

    def _connected(self) -> Publisher:
        if self._publisher is None:
            self._producer = self._broker.producer(linger_ms=_LINGER_MS)
            self._publisher = Publisher(
                self._producer, self._process, prefix=self._topic_prefix, clock=self._clock
            )
        return self._publisher

    def _send(self, publisher: Publisher) -> None:
        """What was taken by a full queue before stays taken."""
        while self._waiting:
            item = self._waiting[0]
            if isinstance(item, Deletion):
                publisher.delete(item.record_type, item.key, item.headers)
            else:
                publisher.publish(item, headers=self.headers)
            self._waiting.popleft()
