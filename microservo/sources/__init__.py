"""Where telemetry comes from: one interface, a source per folder; none knows Kafka or who ships its rows."""
