"""How far sources have read, on a compacted topic: they go on there after a restart."""

from __future__ import annotations

from collections.abc import Callable

from microservo.adapters.broker import Broker
from microservo.log.publisher import Publisher
from microservo.log.reader import read_state
from schemas.catalogue import SOURCE_CURSORS
from schemas.records import SourceCursor

_FLUSH_S = 10.0


class SourceCursors:
    """The cursor of one source of a run; used by one thread.

    Args:
        broker: where the run is.
        topic_prefix: put before every topic name.
        run_id: the run.
        source: name of the source.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, broker: Broker, topic_prefix: str, run_id: str, source: str, clock: Callable[[], int]
    ) -> None:
        self._broker = broker
        self._prefix = topic_prefix
        self._run_id = run_id
        self._source = source
        self._clock = clock
        self._producer = broker.producer(linger_ms=0)
        self._publisher = Publisher(self._producer, "telemetry_collector", prefix=topic_prefix, clock=clock)

    def load(self) -> str:
        """The cursor that was saved last; empty for none. Raises as `read_state`."""
        found = read_cursors(self._broker, self._prefix).get(self._id)
        return found.cursor if found else ""

    def save(self, place: tuple[str, int]) -> None:
        """Notes where to go on, and until when all was read; raises as `Publisher.publish` and `flush`."""
        cursor, until_us = place
        self._publisher.publish(
            SourceCursor(
                cursor_id=self._id,
                run_id=self._run_id,
                source=self._source,
                cursor=cursor,
                until_us=until_us,
                updated_at_us=self._clock(),
            )
        )
        self._publisher.flush(_FLUSH_S)

    def close(self) -> None:
        """Closes the producer."""
        self._producer.close()

    @property
    def _id(self) -> str:
        return f"{self._run_id}/{self._source}"


def read_cursors(broker: Broker, topic_prefix: str = "") -> dict[str, SourceCursor]:
    """The cursors of all sources and runs, by run and source with / between; raises as `read_state`."""
    return read_state(broker, topic_prefix + SOURCE_CURSORS, SourceCursor)
