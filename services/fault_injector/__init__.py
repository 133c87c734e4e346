"""Carries out fault requests on the target system, and tells what really happened and when.

- consumes: `fault-requests` (key fault id, FaultRequest) as a group; `service-graph` (key run id,
  ServiceGraph) and `feature-windows` (key service, FeatureWindow) alone, from two minutes before its start.
- produces: `fault-events` (key fault id, FaultEvent); `service-faults` (key service, ServiceFault), stamped,
  with heartbeats; requests and graphs that can't be read go to their dead-letter topics.
- state: none of its own. On start it reads `fault-events` from the beginning, and what it finds open it
  carries on or recovers; whatever is in force on the target and belongs to no open fault is removed.
- guarantee: at least once. An event is durable before the target is touched, and a request is committed after
  its events; a request that is read twice is carried out once. One injector per topic prefix.
"""
