"""What mechanisms answer for an instance that the target does not have."""

from __future__ import annotations

from microservo.errors import Retryable
from microservo.platforms.mechanism import Confirmation


def absent(instance: str) -> Retryable:
    """The error of an apply."""
    return Retryable(f"the target has no instance {instance} now; waiting for it")


def gone(at_us: int) -> Confirmation:
    """The answer to a recovery: nothing can be in force on it."""
    return Confirmation(at_us=at_us, evidence="the instance is gone")
