"""OTLP as a source: senders push by HTTP or gRPC, and are answered once what they sent is durable."""
