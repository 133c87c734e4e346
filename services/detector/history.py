"""What a partition held before the first window that is to be scored."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Iterator

from microservo.adapters.broker import Broker, Consumer, Message, Partition
from microservo.domain.detectors import Watched
from microservo.errors import InvalidMessage, Retryable
from schemas.records import FeatureWindow
from services.detector.windows import read_window

WINDOWS_PER_SERVICE = 500
_BATCH = 1000
_SILENCE_S = 10.0

logger = logging.getLogger(__name__)


class History:
    """Reads windows back from the log.

    Args:
        run_id: the run that counts; empty for every run.
        windows_per_service: how many windows of a service are kept, the newest.
    """

    def __init__(
        self, broker: Broker, *, run_id: str, windows_per_service: int = WINDOWS_PER_SERVICE
    ) -> None:
        self._broker = broker
        self._run_id = run_id
        self._keep = windows_per_service

    def before(self, partition: Partition, end_offset: int) -> list[FeatureWindow]:
        """The newest windows of each service below an offset, in the order of the log; repeats are left out.

        Raises:
            Retryable: the broker stopped answering on the way.
        """
        if not end_offset:
            return []  # the log begins here, as at the start of a run: its first scores needn't wait
        kept: dict[Watched, deque[FeatureWindow]] = defaultdict(lambda: deque(maxlen=self._keep))
        with self._broker.consumer(group_id=None) as consumer:
            for message in _messages(consumer, partition, end_offset):
                window = self._read(message)
                if window is not None:
                    past = kept[Watched(window.run_id, window.service)]
                    if not past or window.start_us > past[-1].start_us:
                        past.append(window)
        windows = [window for past in kept.values() for window in past]
        logger.info("learning from the log", extra={"partition": partition.index, "windows": len(windows)})
        return windows

    def _read(self, message: Message) -> FeatureWindow | None:
        try:
            return read_window(message, self._run_id)
        except InvalidMessage:
            return None  # it lies on the dead-letter topic since it was first met


def _messages(consumer: Consumer, partition: Partition, end_offset: int) -> Iterator[Message]:
    """The messages from the first one kept up to `end_offset`, not included."""
    offset, _ = consumer.offset_range(partition)
    if offset < end_offset:
        consumer.assign({partition: offset})
    while offset < end_offset:
        # Asking for no more than is there keeps a batch from waiting for company.
        batch = consumer.consume(min(_BATCH, end_offset - offset), 0.2)
        if not batch and not (batch := consumer.consume(1, _SILENCE_S)):
            msg = f"{partition.topic}[{partition.index}]: silence at offset {offset} before {end_offset}"
            raise Retryable(msg)
        yield from (message for message in batch if message.offset < end_offset)
        offset = batch[-1].offset + 1
