"""The stream processor: joins telemetry with faults into labelled windows. Faust and asyncio live here.

Consumes: telemetry-metrics, telemetry-logs, telemetry-traces, service-faults (key: service name;
co-partitioned).
Produces: feature-windows and labelled-windows (key: service name), dead letters of what it consumes.
State: windows that are open, rebuilt from the source topics; one checkpoint per partition in a Faust table.
Delivery: at least once, and a repeated record always has the same bytes.
"""
