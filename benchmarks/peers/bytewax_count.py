"""Bytewax: a count per service and tumbling window of event time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main

from benchmarks.peers.stopwatch import arguments

bootstrap, topic, watch = arguments()


def counted(message: Any) -> Any:
    reading = json.loads(message.value)
    watch.count()
    return reading


flow = Dataflow("bench")
messages = op.input("messages", flow, KafkaSource([bootstrap], [topic], tail=True, batch_size=1000))
readings = op.map("read", messages, counted)
clock = win.EventClock(
    lambda reading: datetime.fromtimestamp(reading["ts"], UTC), wait_for_system_duration=timedelta(seconds=2)
)
windower = win.TumblingWindower(length=timedelta(seconds=5), align_to=datetime(2026, 1, 1, tzinfo=UTC))
windows = win.count_window("count", readings, clock, windower, key=lambda reading: reading["service"])
op.output("out", windows.down, TestingSink([]))

if __name__ == "__main__":
    run_main(flow)
