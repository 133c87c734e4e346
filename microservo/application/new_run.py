"""What the record of a run says when it begins, whoever begins it."""

from __future__ import annotations

import platform
import secrets
from datetime import UTC, datetime
from importlib.metadata import version

from microservo.adapters.broker import Broker
from microservo.retry import retry
from schemas.catalogue import catalogue

_OFFSETS_S = 30.0
_PACKAGES = ("microservo", "confluent-kafka", "faust-streaming", "numpy")


def new_run_id(time_us: int) -> str:
    """A run id that sorts by time, for example run-20261122-214500-ab12."""
    instant = datetime.fromtimestamp(time_us / 1e6, UTC)
    return f"run-{instant:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def log_ends(broker: Broker, topic_prefix: str) -> dict[str, int]:
    """The end of every partition by 'topic/partition', by logical names.

    Raises:
        InvalidInput: a topic is missing.
        Retryable: the broker does not answer.
    """

    def ends() -> dict[str, int]:
        with broker.consumer(group_id=None) as consumer:
            return {
                f"{name}/{partition.index}": consumer.offset_range(partition)[1]
                for name, topic in catalogue().items()
                for partition in consumer.partitions(topic.physical(topic_prefix))
            }

    # A partition that was made a moment ago may have no leader yet.
    return retry(ends, timeout_s=_OFFSETS_S)


def package_versions() -> dict[str, str]:
    """The versions of what runs, by name."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
