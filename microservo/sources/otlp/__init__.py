"""OTLP/HTTP as a source: senders push, and get 200 once what they sent is durable."""
