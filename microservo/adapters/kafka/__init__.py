"""Kafka behind the interfaces of `microservo.adapters.broker`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microservo.adapters.kafka.broker import KafkaBroker
    from microservo.adapters.kafka.settings import KafkaSettings

__all__ = ["KafkaBroker", "KafkaSettings"]

_MODULES = {
    "KafkaBroker": "microservo.adapters.kafka.broker",
    "KafkaSettings": "microservo.adapters.kafka.settings",
}


def __getattr__(name: str) -> Any:
    """The public names, loaded when first used: one who is told how Kafka is reached reads no settings."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
