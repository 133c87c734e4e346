"""OTLP/HTTP as OpenTelemetry 1.x specifies it: requests in protobuf or JSON to rows, and the answers.

Source: opentelemetry-proto, docs/specification.md, "OTLP/HTTP".
"""
