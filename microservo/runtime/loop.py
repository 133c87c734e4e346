"""The loop around a consumer: read, act, commit; at least once, in order, until shutdown."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import count

from microservo.adapters.broker import Consumer, Message, Partition
from microservo.errors import Retryable
from microservo.runtime.metrics import BATCH_SECONDS, RETRIES_TOTAL
from microservo.runtime.shutdown import Shutdown

logger = logging.getLogger(__name__)

FIRST_BACK_OFF_S = 0.1
LONGEST_BACK_OFF_S = 5.0
COMMIT_ATTEMPTS = 5


def consume_loop(
    consumer: Consumer,
    handle: Callable[[list[Message]], None],
    *,
    shutdown: Shutdown,
    max_messages: int = 500,
    timeout_s: float = 0.1,
    idle_s: float | None = None,
    on_idle: Callable[[], None] | None = None,
    commit: bool = True,
) -> None:
    """Feeds batches to `handle` until shutdown, then closes the consumer.

    Offsets are committed after `handle` has returned, so `handle` must have made its effect durable by then
    (flush the producer) and must bear being given a batch twice.

    Args:
        consumer: already subscribed or assigned; closed in any case.
        handle: takes a batch that is never empty; raises Retryable to be given the same batch again.
        shutdown: ends the loop after the batch in work.
        max_messages: the largest batch.
        timeout_s: seconds that a batch which is not full waits for more; also the longest time between
            housekeepings where `idle_s` is not given.
        idle_s: seconds to wait for the first message of a batch: a long wait for it and a short one for more
            wakes the process seldom, and still lets no message wait.
        on_idle: housekeeping, called after every round and between the attempts of a failing batch.
        commit: False where the position is kept elsewhere.

    Raises:
        Fatal: from `handle` or the consumer; what was not committed is read again after a restart.
    """
    attempts = _Attempts(shutdown, on_idle or _nothing)
    try:
        while not shutdown.requested:
            batch: list[Message] = []
            attempts.until_done("consume", lambda: _fill(batch, consumer, max_messages, timeout_s, idle_s))  # noqa: B023
            if batch:
                with BATCH_SECONDS.time():
                    _one_batch(attempts, consumer, batch, handle, commit=commit)
            attempts.housekeeping()
    finally:
        consumer.close()


def next_offsets(batch: Iterable[Message]) -> dict[Partition, int]:
    """Where to go on reading after a batch, for each partition that occurs in it."""
    return {Partition(message.topic, message.partition): message.offset + 1 for message in batch}


def _fill(
    batch: list[Message], consumer: Consumer, max_messages: int, timeout_s: float, idle_s: float | None
) -> None:
    if idle_s is not None and not batch:
        batch.extend(consumer.consume(1, idle_s))
    # What has come stays in the batch, also when this fails for now and is tried again.
    if idle_s is None or 0 < len(batch) < max_messages:
        batch.extend(consumer.consume(max_messages - len(batch), timeout_s))


def _one_batch(
    attempts: _Attempts,
    consumer: Consumer,
    batch: list[Message],
    handle: Callable[[list[Message]], None],
    *,
    commit: bool,
) -> None:
    handled = attempts.until_done("handle", lambda: handle(batch))
    if handled and commit:
        # Bounded, for the partition may belong to another member by now, who reads the batch again.
        attempts.until_done("commit", lambda: consumer.commit(next_offsets(batch)), limit=COMMIT_ATTEMPTS)


class _Attempts:
    """Repeats what fails for now, with growing pauses, until it succeeds or shutdown is requested."""

    def __init__(self, shutdown: Shutdown, on_idle: Callable[[], None]) -> None:
        self._shutdown = shutdown
        self._on_idle = on_idle

    def until_done(self, stage: str, act: Callable[[], None], *, limit: int | None = None) -> bool:
        """Whether it was done; False when shutdown came first, or the number of attempts was used up."""
        pause_s = FIRST_BACK_OFF_S
        for _ in count() if limit is None else range(limit):
            try:
                act()
            except Retryable as error:
                self._count(stage, error)
            else:
                return True
            if self._shutdown.wait(pause_s):
                break
            self.housekeeping()
            pause_s = min(pause_s * 2, LONGEST_BACK_OFF_S)
        return False

    def housekeeping(self) -> None:
        """One call of `on_idle`; what fails for now is left to the next one."""
        try:
            self._on_idle()
        except Retryable as error:
            self._count("housekeeping", error)

    def _count(self, stage: str, error: Retryable) -> None:
        RETRIES_TOTAL.labels(stage).inc()
        logger.warning("%s failed for now: %s", stage, error)


def _nothing() -> None:
    """The housekeeping of who has none."""
