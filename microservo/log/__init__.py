"""How we use Kafka: topics, reading, stamped writing, dead letters, runs."""
