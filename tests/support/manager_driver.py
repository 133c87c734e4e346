"""The driver of managers that run as processes in tests."""

from __future__ import annotations

from microservo.platforms.driver import TaggedDriver
from microservo.testing.memory_driver import MemoryInfrastructure


def in_memory(tag: str) -> TaggedDriver:
    """Hosts and containers that are only written down, and gone with the process."""
    return TaggedDriver(MemoryInfrastructure(("front", "back")), managed_by=tag)
