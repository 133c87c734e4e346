"""A broker in memory with the semantics of a real one, for tests that need no network."""

from __future__ import annotations

from microservo.adapters.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
