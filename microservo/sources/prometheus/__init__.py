"""Prometheus as a source: its samples and what queries give are read on an interval, or it writes here."""
