"""The windows of a partition before the first window that is to be scored."""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Sequence

from microservo.adapters.broker import Broker, Message, Partition
from microservo.domain.detectors import Watched
from microservo.errors import InvalidMessage
from microservo.log.ranges import read_ranges
from schemas.records import FeatureWindow
from services.detector.windows import read_window

WINDOWS_PER_SERVICE = 500
FIRST_LOOK_BACK = 2048
_TIMEOUT_S = 10.0

logger = logging.getLogger(__name__)


class History:
    """Reads windows back from the log, from its end towards its beginning and no further than needed.

    So taking a partition over costs the same however long the log is.

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

        They reach back as far as so many windows of a service that never pauses: one that fell silent
        before that begins afresh.

        Raises:
            Retryable: the broker stopped answering on the way.
        """
        if not end_offset:
            return []  # the log begins here, as at the start of a run: its first scores needn't wait
        kept: dict[Watched, deque[FeatureWindow]] = defaultdict(lambda: deque(maxlen=self._keep))
        for window in self._read_back(partition, end_offset):
            past = kept[Watched(window.run_id, window.service)]
            if self._run_id in {"", window.run_id} and (not past or window.start_us > past[-1].start_us):
                past.append(window)
        windows = [window for past in kept.values() for window in past]
        logger.info("learning from the log", extra={"partition": partition.index, "windows": len(windows)})
        return windows

    def _read_back(self, partition: Partition, end: int) -> list[FeatureWindow]:
        """The windows of all runs below an offset, twice as many messages further back at each step."""
        found: list[FeatureWindow] = []
        look_back = FIRST_LOOK_BACK
        while not self._is_enough(found):
            # A consumer for each step: an assignment that is changed waits for a fetch that is under way.
            with self._broker.consumer(group_id=None) as consumer:
                first, _ = consumer.offset_range(partition)
                ranges = {partition: (max(first, end - look_back), end)}
                # Retention may take what is oldest away while it is read.
                messages = read_ranges(consumer, ranges, compacted=True, timeout_s=_TIMEOUT_S)
                found = [window for each in messages if (window := _window(each))] + found
            end -= look_back
            look_back *= 2
            if end <= first:
                break
        return found

    def _is_enough(self, windows: Sequence[FeatureWindow]) -> bool:
        """Whether the oldest is as many windows before the newest as are kept of a service."""
        if not windows:
            return False
        newest = max(windows, key=lambda window: window.start_us)
        reach_us = self._keep * (newest.end_us - newest.start_us)
        return min(window.start_us for window in windows) <= newest.start_us - reach_us


def _window(message: Message) -> FeatureWindow | None:
    try:
        return read_window(message, "")
    except InvalidMessage:
        return None  # it lies on the dead-letter topic since it was first met
