"""Quix Streams: a count per service and tumbling window, with its state and changelog as by default."""

from __future__ import annotations

import sys
import tempfile
import uuid

from quixstreams import Application

from benchmarks.peers.stopwatch import arguments

bootstrap, topic, watch = arguments()
app = Application(
    broker_address=bootstrap,
    consumer_group=f"bench-quix-{uuid.uuid4().hex[:8]}",
    auto_offset_reset="earliest",
    state_dir=tempfile.mkdtemp(),
    loglevel="ERROR",
)
# Event time is the message's timestamp, as Quix has it by default.
readings = app.dataframe(app.topic(topic, value_deserializer="json"))
readings = readings.update(lambda _value: watch.count())
readings = readings.tumbling_window(duration_ms=5000, grace_ms=2000).count().final()

if __name__ == "__main__":
    app.run()
    sys.exit(1)
