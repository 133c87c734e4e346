"""Faults that act inside an instance: one module per kind, each registers itself."""
