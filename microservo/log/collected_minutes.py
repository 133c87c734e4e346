"""What was read of each minute of a past range, on a compacted topic: a collection goes on there."""

from __future__ import annotations

from microservo.adapters.broker import Broker
from microservo.log.reader import read_state
from schemas.catalogue import COLLECTED_MINUTES
from schemas.records import CollectedMinute


def minute_id(run_id: str, source: str, start_us: int) -> str:
    """The key of a minute."""
    return f"{run_id}/{source}/{start_us}"


def collected_minutes(broker: Broker, run_id: str, topic_prefix: str = "") -> list[CollectedMinute]:
    """The minutes of a run that were read, by source and time; raises as `read_state`."""
    found = read_state(broker, topic_prefix + COLLECTED_MINUTES, CollectedMinute).values()
    mine = [each for each in found if each.run_id == run_id]
    return sorted(mine, key=lambda minute: (minute.source, minute.start_us))
