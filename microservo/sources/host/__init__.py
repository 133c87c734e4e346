"""Telemetry read from outside: the host, and the instances of a platform."""
