"""A plain Faust agent with a tumbling table, as its user guide has it: one count per service and window."""

from __future__ import annotations

import sys
import tempfile
import uuid
from typing import Any

import faust

from benchmarks.peers.stopwatch import arguments

bootstrap, topic, watch = arguments()
folder = tempfile.TemporaryDirectory()
app = faust.App(
    f"bench-faust-{uuid.uuid4().hex[:8]}",
    broker=f"kafka://{bootstrap}",
    store="memory://",
    datadir=folder.name,
    topic_partitions=4,
    topic_replication_factor=1,
    topic_disable_leader=True,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    loghandlers=[],
)
source = app.topic(topic, key_type=str, value_type=None, value_serializer="json", partitions=4)
counts = app.Table("counts", default=int, partitions=4, key_type=str, value_type=int)
windows = counts.tumbling(5.0, expires=3600.0)


async def count(readings: Any) -> None:
    async for reading in readings:
        windows[reading["service"]] += 1
        watch.count()


app.agent(source)(count)

if __name__ == "__main__":
    faust.Worker(app, loglevel="ERROR", redirect_stdouts=False).execute_from_commandline()
    sys.exit(1)
