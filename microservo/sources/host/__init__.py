"""Telemetry read from outside: the host, and the processes on it."""
