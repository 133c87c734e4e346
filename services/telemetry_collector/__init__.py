"""Takes telemetry in by OTLP/HTTP, adds process and host metrics, and puts all on the topics in columns.

- consumes: OTLP/HTTP requests (traces, metrics, logs; protobuf or JSON); the target state file; psutil.
- produces: telemetry-metrics, telemetry-logs, telemetry-traces (key service name; metric_batch, log_batch,
  span_batch), stamped as writer `telemetry-collector`; service-graph (key run id; service_graph); what can't
  be used on the dead-letter topics of the three, whole bodies too. A body that is too large to be read at all
  is only counted (`microservo_refused_bodies_total`) and told in the log.
- state: rows that wait for the next flush, and names seen per service; in memory, bounded. A metric whose
  attributes take more than 100 values has the rest under `metric{otel.metric.overflow=true}` (see
  `series_names`).
- guarantee: at least once. A sender hears 200 only after Kafka has what it sent; it sends again what was not
  answered, and the windower removes rows that are the same.
"""
