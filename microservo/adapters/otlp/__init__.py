"""OTLP/HTTP as OpenTelemetry 1.x specifies it: requests in protobuf or JSON to rows, and the answers.

- Metric points are rows under the name of their time series, `system.cpu.time{cpu=0,state=user}`: attributes
  sorted by key, at most 256 characters (see `series`). Of a resource only service and instance are kept.
- Memory: a body is parsed in pieces of 2 MiB, and holds a bounded number of records (see `bounded`).

Source: opentelemetry-proto, docs/specification.md, "OTLP/HTTP".
"""
