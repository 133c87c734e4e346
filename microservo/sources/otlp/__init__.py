"""OTLP/HTTP as a source: senders push, and hear 200 once what they sent is durable."""
