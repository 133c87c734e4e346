"""Log lines and spans as JSON documents, in the fields of Elastic's common schema and OpenTelemetry's."""
