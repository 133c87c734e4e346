"""Whether a broker answers, and why not: librdkafka itself would only log that none does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from microservo.adapters.kafka.options import KafkaAccess, Options, common_options
from microservo.errors import InvalidInput, Unavailable

# A broker takes a third of a second to refuse a password, so that guessing is slow.
_REASON_TIMEOUT_S = 2.0
_REASON_POLL_S = 0.1
_SIGN_IN = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})

T = TypeVar("T")


class _Client(Protocol):
    def list_topics(self, topic: str | None = None, timeout: float = -1) -> ClusterMetadata: ...


def made(kind: Callable[[Options], T], options: Options) -> T:
    """A client of librdkafka.

    Raises:
        InvalidInput: it refuses the options, as where a file of certificates can't be read.
    """
    try:
        return kind(options)
    except KafkaException as exc:
        files = ", ".join(f"{name}={value}" for name, value in options.items() if name.endswith(".location"))
        msg = (
            f"no Kafka client can be made with these settings: {exc.args[0].str()} ({files or 'no files'}); "
            "check that each MICROSERVO_SSL_..._LOCATION is a readable PEM file, and the password of the key"
        )
        raise InvalidInput(msg) from exc


def verify(
    client: _Client,
    access: KafkaAccess,
    timeout_s: float | None = None,
    *,
    whole_timeout_s: float | None = None,
) -> ClusterMetadata:
    """The cluster as the broker describes it, within `timeout_s` (by default the settings' connect timeout).

    One who asks again and again gives `whole_timeout_s`, the whole time, for the error to name.

    Raises:
        Unavailable: no broker answered in time; or it did, and the two would not trust one another. Finding
            that out takes two seconds more at most.
    """
    timeout_s = access.connect_timeout_s if timeout_s is None else timeout_s
    try:
        return client.list_topics(timeout=timeout_s)
    except KafkaException as exc:
        msg = _security_problem(access) or (
            f"no Kafka broker answered at {access.bootstrap_servers} within "
            f"{timeout_s if whole_timeout_s is None else whole_timeout_s:g} s "
            f"({exc.args[0].str()}, {access.security_protocol}); "
            "start the embedded one with `microservo up`, or set MICROSERVO_BOOTSTRAP_SERVERS to your own"
        )
        raise Unavailable(msg) from exc


def _security_problem(access: KafkaAccess) -> str | None:
    """What to say where a broker is there but TLS or the sign-in fails; None where it is something else."""
    reason = None if access.security_protocol == "PLAINTEXT" else _reason(access)
    if reason is None:
        return None
    if reason.code() in _SIGN_IN:
        return (
            f"the Kafka broker refused to let {access.sasl_username!r} in: {reason.str()}; check "
            "MICROSERVO_SASL_USERNAME, MICROSERVO_SASL_PASSWORD and MICROSERVO_SASL_MECHANISM"
        )
    # Some failures of a handshake are reported as lost connections; only their words differ.
    if reason.code() == KafkaError._SSL or "SSL" in reason.str():
        return (
            f"no trusted connection to the Kafka broker at {access.bootstrap_servers}: {reason.str()}; "
            "check MICROSERVO_SSL_CA_LOCATION, MICROSERVO_SECURITY_PROTOCOL, and that the broker's "
            "certificate names the host that MICROSERVO_BOOTSTRAP_SERVERS gives"
        )
    return None


def _reason(access: KafkaAccess) -> KafkaError | None:
    """Why a connection fails, asked with a client of its own.

    It is reported to a callback only, and a consumer that serves callbacks could be handed a message too.
    """
    reported: list[KafkaError] = []
    client = AdminClient(common_options(access) | {"error_cb": reported.append})
    deadline = time.monotonic() + _REASON_TIMEOUT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(KafkaException):
            client.list_topics(timeout=_REASON_POLL_S)
        client.poll(0)
        specific = [error for error in reported if error.code() != KafkaError._ALL_BROKERS_DOWN]
        if specific:
            return specific[0]
    return None
