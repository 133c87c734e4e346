"""Ships what sources of telemetry give (OTLP by HTTP and gRPC, host and target) to the topics, in columns.

- consumes: the sources in `microservo.sources`; it only wires them to the shipper. Either OTLP and this
  machine, or one source that the run declares, whose cursor it keeps on source-cursors; or a past range of
  sources, whose minutes it notes on collected-minutes (see `past`). From experiments
  (key run id; experiment) which services were declared gone.
- produces: telemetry-metrics, telemetry-logs, telemetry-traces (key service name; metric_batch, log_batch,
  span_batch; on the first service_inventory too), stamped as writer `telemetry-collector`; service-graph (key
  run id; service_graph); service-instances (key service name; service_instance), when an instance is new or
  says something new of itself; telemetry-losses (key service name; telemetry_loss), while a fault takes
  records away; what can't be used on the dead-letter topics of the three, whole bodies too.
  What is refused unread is only counted (`microservo_refused_bodies_total`, by reason) and logged, a line a
  minute for each reason.
- state: rows that wait for the next flush; names seen per service; the newest point of each series, by
  which sums become rates (see `rates`) and those that come seldom are repeated (see `last_points`); the spans
  of the last seconds, by which calls find the service that answers them (see `callees`); in memory, bounded.
  A metric whose attributes take more than 100 values has the rest under `metric{otel.metric.overflow=true}`
  (see `series_names`). What is known of services (see `inventories`, `delays`) is taken up from
  telemetry-metrics after a restart.
- faults: those on telemetry, by a control API of its own (see `fault_set`, `control`).
- guarantee: at least once. A sender is told that all is well once Kafka has what it sent; it sends again
  what was not answered, and the windower removes rows that are the same.
"""
