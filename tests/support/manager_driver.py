"""The driver of managers that run as processes in tests."""

from __future__ import annotations

from microservo.testing.memory_driver import MemoryDriver, MemoryInfrastructure


def in_memory(tag: str) -> MemoryDriver:
    """Hosts and containers that are only written down, and gone with the process."""
    return MemoryDriver(MemoryInfrastructure(("front", "back")), managed_by=tag)
