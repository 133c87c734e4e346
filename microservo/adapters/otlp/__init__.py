"""OTLP as OpenTelemetry 1.x specifies it: requests in protobuf or JSON to rows, and the answers.

- Metric points are rows under the name of their time series, `system.cpu.time{cpu=0,state=user}`: attributes
  sorted by key, at most 256 characters (see `series`). Of a resource only service and instance are kept.
- A record that can't be used costs itself alone: it goes to the dead letters and into `partial_success`.
  A log line without a time has the time it was observed, then the time it was received.
- A record too old for any window is kept on its topic, where the ledger counts it as dropped; it is in
  `partial_success`, too.
- Memory: a body is parsed in pieces of 2 MiB, and holds a bounded number of records (see `requests`).

Source: opentelemetry-proto, docs/specification.md, "OTLP/gRPC" and "OTLP/HTTP".
"""
