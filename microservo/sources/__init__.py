"""Where telemetry comes from: one package per source."""
