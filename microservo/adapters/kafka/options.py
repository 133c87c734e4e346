"""How Kafka is reached, and the only place that knows librdkafka's dotted names."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

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


class KafkaSettings(BaseSettings):
    """How to reach Kafka; each field is also the environment variable MICROSERVO_ + its name."""

    # What was given is never part of an error: a password may stand in it.
    model_config = SettingsConfigDict(
        env_prefix="MICROSERVO_", env_ignore_empty=True, frozen=True, hide_input_in_errors=True
    )

    bootstrap_servers: str = "127.0.0.1:9092"
    """Host and port of one or more brokers, separated by commas."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None
    """PEM file of the authorities to trust; the system's where unset."""
    ssl_certificate_location: Path | None = None
    """PEM file of the client's certificate."""
    ssl_key_location: Path | None = None
    """PEM file of the client's key."""
    ssl_key_password: SecretStr | None = None
    ssl_endpoint_identification: bool = True
    """Whether the broker's certificate must carry the broker's host name."""
    connect_timeout_s: float = Field(default=10, gt=0)
    """How long a client waits for a first answer before it gives up, and how long each question may take."""
    delivery_timeout_s: float = Field(default=120, gt=0)
    """How long a message is tried before the producer fails."""

    @model_validator(mode="after")
    def _credentials_are_complete(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (self.sasl_username and self.sasl_password):
            msg = (
                f"security_protocol {self.security_protocol} needs sasl_username and sasl_password; set both"
            )
            raise ValueError(msg)
        return self


def common_options(settings: KafkaSettings) -> Options:
    """What every client is made with."""
    options: Options = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": "microservo",
        "security.protocol": settings.security_protocol,
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
    return options | _sasl(settings) | _tls(settings)


def _sasl(settings: KafkaSettings) -> Options:
    if not settings.security_protocol.startswith("SASL") or settings.sasl_password is None:
        return {}
    return {
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_username,
        "sasl.password": settings.sasl_password.get_secret_value(),
    }


def _tls(settings: KafkaSettings) -> Options:
    if not settings.security_protocol.endswith("SSL"):
        return {}
    files = {
        "ssl.ca.location": settings.ssl_ca_location,
        "ssl.certificate.location": settings.ssl_certificate_location,
        "ssl.key.location": settings.ssl_key_location,
    }
    options: Options = {name: str(path) for name, path in files.items() if path is not None}
    if settings.ssl_key_password is not None:
        options["ssl.key.password"] = settings.ssl_key_password.get_secret_value()
    options["ssl.endpoint.identification.algorithm"] = (
        "https" if settings.ssl_endpoint_identification else "none"
    )
    return options


def consumer_options(settings: KafkaSettings, *, group_id: str | None, start: Start) -> Options:
    """A consumer that commits only on request and fetches large batches ahead."""
    return common_options(settings) | {
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


def producer_options(settings: KafkaSettings, *, linger_ms: int) -> Options:
    """An idempotent producer that partitions as Java does."""
    return common_options(settings) | {
        "acks": "all",
        "enable.idempotence": True,
        # librdkafka's own default is CRC32: the same key would land elsewhere than Faust puts it.
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": linger_ms,
        "batch.size": _BATCH_BYTES,
        "message.max.bytes": _CLIENT_MESSAGE_BYTES,
        "message.timeout.ms": int(settings.delivery_timeout_s * 1000),
        "queue.buffering.max.messages": _QUEUE_MESSAGES,
        "queue.buffering.max.kbytes": _QUEUE_KIB,
    }
