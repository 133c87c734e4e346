"""Carries out fault requests on the target system, and publishes what really happened and when.

What to do is decided by `microservo.domain.faults.decider`, which knows no clock and no broker; this process
feeds it with what happens and carries out what it decides.

- consumes: `fault-requests` (key fault id, FaultRequest) as a group; `service-graph` (key run id,
  ServiceGraph) and `fault-effects` (key service, FaultVerdict) alone, from two minutes before its start or
  since the oldest fault that waits for a verdict; `fault-schedules` (key schedule id, FaultSchedule) alone,
  all of them; on start the run's record on `experiments` and `schedule-progress`.
- produces: `fault-events` (key fault id, FaultEvent); `service-faults` (key service, ServiceFault), stamped,
  with heartbeats; `faults` (key fault id, FaultSnapshot); `fault-requests` for faults of schedules and those
  that others make on the target; `schedule-progress` (key schedule id, ScheduleProgress); requests and graphs
  that can't be read go to their dead-letter topics.
- state: `faults`, compacted: every open fault and the thousand that were closed last. On start it reads them
  and the events behind them, and goes on with what it finds open; whatever is in force on the target and
  belongs to no open fault is removed. The id of a fault that is in the states is refused to another request.
- guarantee: at least once. An event is durable before the target is touched, and a request is committed after
  its events and its state; a request that is read twice is carried out once. One injector per topic prefix.
"""
