"""How Kafka is reached, and the only place that knows librdkafka's dotted names."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Start = Literal["earliest", "latest"]
Options = dict[str, Any]

_log = logging.getLogger(__name__)

_MIB = 1024 * 1024
# The largest message that a client lets through at all; the topic's own limit is checked before.
_CLIENT_MESSAGE_BYTES = 64 * _MIB
# A batch larger than the topic accepts is refused as a whole, so batches stay below any sensible limit.
_BATCH_BYTES = 256 * 1024
_QUEUE_MESSAGES = 100_000
_QUEUE_KIB = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccess:
    """How to reach Kafka, in plain values; `KafkaSettings` reads and checks them, and says what they mean.

    A process that is given these loads nothing that reads settings, which takes a third of its start.
    """

    bootstrap_servers: str
    security_protocol: str
    sasl_mechanism: str
    sasl_username: str | None
    sasl_password: str | None = field(repr=False)
    ssl_ca_location: Path | None
    ssl_certificate_location: Path | None
    ssl_key_location: Path | None
    ssl_key_password: str | None = field(repr=False)
    ssl_endpoint_identification: bool
    connect_timeout_s: float
    delivery_timeout_s: float


def common_options(access: KafkaAccess) -> Options:
    """What every client is made with."""
    options: Options = {
        "bootstrap.servers": access.bootstrap_servers,
        "client.id": "microservo",
        "security.protocol": access.security_protocol,
        "logger": _log,
        # Only what is critical: while a broker is away each client would log forty lines a second. Errors
        # reach us as such, see `errors.ErrorLog`.
        "log_level": 2,
        # A broker that was restarted is found again within a second, not ten; and half of the least wait
        # passes before a new client, told the brokers' names, connects to the first of them.
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "socket.nagle.disable": True,
        # An unknown topic is an error after this long; half a minute otherwise.
        "topic.metadata.propagation.max.ms": 5000,
    }
    return options | _sasl(access) | _tls(access)


def _sasl(access: KafkaAccess) -> Options:
    if not access.security_protocol.startswith("SASL") or access.sasl_password is None:
        return {}
    return {
        "sasl.mechanism": access.sasl_mechanism,
        "sasl.username": access.sasl_username,
        "sasl.password": access.sasl_password,
    }


def _tls(access: KafkaAccess) -> Options:
    if not access.security_protocol.endswith("SSL"):
        return {}
    files = {
        "ssl.ca.location": access.ssl_ca_location,
        "ssl.certificate.location": access.ssl_certificate_location,
        "ssl.key.location": access.ssl_key_location,
    }
    options: Options = {name: str(path) for name, path in files.items() if path is not None}
    if access.ssl_key_password is not None:
        options["ssl.key.password"] = access.ssl_key_password
    options["ssl.endpoint.identification.algorithm"] = (
        "https" if access.ssl_endpoint_identification else "none"
    )
    return options


def consumer_options(access: KafkaAccess, *, group_id: str | None, start: Start) -> Options:
    """A consumer that commits only on request and fetches large batches ahead."""
    return common_options(access) | {
        # librdkafka wants a name even from one that never joins or commits.
        "group.id": group_id or "microservo-alone",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        # Without a group the positions are exact: one that is not there is an error, not a jump.
        "auto.offset.reset": start if group_id else "error",
        # Partition i of co-partitioned topics goes to the same member.
        "partition.assignment.strategy": "range",
        # Kafka's lower bound: a member that was killed is missed this long.
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 1000,
        "fetch.message.max.bytes": _MIB,
        # A partition that is resumed waits for the answer under way, which waits for those without news.
        "fetch.wait.max.ms": 50,
        "queued.min.messages": 50_000,
        "queued.max.messages.kbytes": 32 * 1024,
        # How long a full queue rests before it fetches again: the default second would slow a replay.
        "fetch.queue.backoff.ms": 10,
        "fetch.error.backoff.ms": 50,
        "allow.auto.create.topics": False,
    }


def producer_options(access: KafkaAccess, *, linger_ms: int) -> Options:
    """An idempotent producer that partitions as Java does."""
    return common_options(access) | {
        "acks": "all",
        "enable.idempotence": True,
        # librdkafka's own default is CRC32: the same key would land elsewhere than Faust puts it.
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": linger_ms,
        "batch.size": _BATCH_BYTES,
        "message.max.bytes": _CLIENT_MESSAGE_BYTES,
        "message.timeout.ms": int(access.delivery_timeout_s * 1000),
        "queue.buffering.max.messages": _QUEUE_MESSAGES,
        "queue.buffering.max.kbytes": _QUEUE_KIB,
    }
