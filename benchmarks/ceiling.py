"""The ceiling: consume and decode every packed message, and do nothing with it."""

from __future__ import annotations

import json
import sys
import time

import confluent_kafka

from microservo.domain.telemetry import log_columns, metric_columns, span_columns
from schemas.codec import decode
from schemas.records import LogBatch, MetricBatch, SpanBatch


def main() -> int:
    """Prints messages, seconds and processor seconds: BOOTSTRAP TOPIC..."""
    bootstrap, *topics = sys.argv[1:]
    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "bench-ceiling"})
    try:
        positions = []
        wanted = 0
        for topic in topics:
            for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
                first, end = consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition))
                positions.append(confluent_kafka.TopicPartition(topic, partition, first))
                wanted += end - first
        consumer.assign(positions)
        print(json.dumps(_drain(consumer, wanted)))
    finally:
        consumer.close()
    return 0


def _columns(record: object) -> None:
    """A batch is only decoded once its columns are arrays that were checked."""
    if isinstance(record, MetricBatch):
        metric_columns(record)
    elif isinstance(record, LogBatch):
        log_columns(record)
    elif isinstance(record, SpanBatch):
        span_columns(record)


def _drain(consumer: confluent_kafka.Consumer, wanted: int) -> dict[str, float]:
    done, started_s, cpu_started_s = 0, 0.0, 0.0
    while done < wanted:
        batch = consumer.consume(min(1000, wanted - done), 1.0)
        if batch and not done:
            started_s, cpu_started_s = time.perf_counter(), time.process_time()
        for message in batch:
            value = message.value()
            if value:
                _columns(decode(value))
        done += len(batch)
    return {
        "messages": done,
        "elapsed_s": time.perf_counter() - started_s,
        "cpu_s": time.process_time() - cpu_started_s,
    }


if __name__ == "__main__":
    sys.exit(main())
