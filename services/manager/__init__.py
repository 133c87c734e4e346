"""The manager: services run where they are wanted, as often as rules ask for, and again when they ended.

One process as *master*, and one as *worker* for each region that shall go on by itself; both are this
program. All of them know all entities, each changes its own (`docs/decisions/0019-shared-state.md`).

- consumes: system-state (key kind/id; entity_change), from its beginning; control-commands (key kind/id;
  control_command), from where an earlier life left off; manager-heartbeats (key name; manager_heartbeat);
  anomaly-scores, request-locations, telemetry-metrics, as they come.
- produces: system-state, with headers where it deletes; control-events (key kind/id; control_event);
  control-commands, to the manager that owns what they are about; each second manager-heartbeats;
  manager-inputs (key name; manager_input): all that it was told, so that it can be told again;
  service-actions (key service; service_action), stamped: what it does to services, in the run that goes on.
- state: that of the decider, built from the topics anew at each start. What runs is adopted, from what the
  driver sees.
- guarantee: a command is carried out once, however often it comes. What is decided is on the log before it
  is done, unless the broker is away: then it is done, and written when the broker is back. A second process
  of the same name ends the first one.
"""
