"""Takes telemetry in by OTLP/HTTP, adds process and host metrics, and puts all on the topics in columns.

- consumes: OTLP/HTTP requests (traces, metrics, logs; protobuf or JSON); the target state file; psutil.
- produces: telemetry-metrics, telemetry-logs, telemetry-traces (key service name; metric_batch, log_batch,
  span_batch), stamped as writer `telemetry-collector`; service-graph (key run id; service_graph); what can't
  be used on the dead-letter topics of the three.
- state: rows that wait for the next flush, and names seen per service; in memory, bounded.
- guarantee: at least once. A sender hears 200 only after Kafka has what it sent; it sends again what was not
  answered, and the windower removes rows that are the same.
"""
