"""Topics of others as a source: what OpenTelemetry, Jaeger and log shippers put on Kafka, unchanged."""
