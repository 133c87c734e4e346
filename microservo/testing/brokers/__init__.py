"""What every broker keeps to: the same sentences on the one in memory, on a real Kafka, and on yours."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from microservo.adapters.broker import Broker
from microservo.testing.brokers import groups, reading, rebalancing, sending, topics
from microservo.testing.checks import checks_in, run_checks

CHECKS = checks_in(topics, sending, reading, groups, rebalancing)
"""Each is given a broker, and a prefix for the names of topics and groups that nobody else uses."""


def check_broker(make: Callable[[], Broker]) -> None:
    """Runs all checks on a broker; topics that they made stay there.

    Args:
        make: gives the broker, the same or a new one each time.

    Raises:
        ExceptionGroup: what does not hold.

    Example:
        >>> from microservo.testing import MemoryBroker
        >>> check_broker(MemoryBroker)
    """
    run_checks(CHECKS, lambda: (make(), f"check-{uuid.uuid4().hex[:12]}-"))
