"""Measures, from records, on which services a fault shows, since when and until when.

What counts as an effect is decided by `microservo.domain.effects`, which knows no clock and no broker; this
process feeds it with the telemetry and the faults of one run, tells it how far event time has come, and
publishes what it finds.

- consumes: `telemetry-metrics`, `telemetry-logs`, `telemetry-traces` (key service, MetricBatch, LogBatch,
  SpanBatch) and `service-faults` (key service, ServiceFault), every partition, without a group; `experiments`
  (key run id, Experiment) for who writes in the run.
- produces: `fault-effects` (key service, FaultEffect and FaultVerdict), stamped, with heartbeats. Its promise
  is no later than the promises of the telemetry that it has worked through, so the final revision of a window
  waits for an observer that falls behind; the first one waits for none. What can't be read is counted and
  logged here; the labeller, which reads the same topics, puts it on their dead-letter topics.
- state: none of its own. On start it reads the run back, its telemetry as far as MICROSERVO_LOOK_BACK_S
  reaches, and goes on with the versions that lie on `fault-effects`.
- guarantee: a version of a finding is published once, with one content. One observer per run.
"""
