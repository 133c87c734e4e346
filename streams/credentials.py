"""Our settings for reaching Kafka, as Faust wants them."""

from __future__ import annotations

import logging
import ssl

import faust

from microservo.adapters.kafka.settings import KafkaSettings
from microservo.errors import InvalidInput


def broker_urls(settings: KafkaSettings) -> list[str]:
    """Faust's URLs of the bootstrap servers."""
    return [f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")]


def credentials(settings: KafkaSettings) -> faust.Credentials | None:
    """How to sign in; None where the broker asks for nothing.

    Raises:
        InvalidInput: a file of certificates or keys can't be used.
    """
    protocol = settings.security_protocol
    if protocol == "PLAINTEXT":
        return None
    context = _ssl_context(settings) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    # aiokafka's debug lines are its requests as they are sent, the one that carries the password as well.
    logging.getLogger("aiokafka.conn").setLevel(logging.INFO)
    password = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    return faust.SASLCredentials(
        username=settings.sasl_username,
        password=password,
        mechanism=settings.sasl_mechanism,
        ssl_context=context,
    )


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ssl_ca_location)
        context.check_hostname = settings.ssl_endpoint_identification
        _load_own(context, settings)
    except OSError as exc:
        msg = (
            f"the TLS files can't be used ({exc}): authorities {settings.ssl_ca_location}, "
            f"certificate {settings.ssl_certificate_location}, key {settings.ssl_key_location}; "
            "check that each is a readable PEM file, and the password of the key"
        )
        raise InvalidInput(msg) from exc
    return context


def _load_own(context: ssl.SSLContext, settings: KafkaSettings) -> None:
    """Adds the client's own certificate, where there is one."""
    if settings.ssl_certificate_location is None:
        return
    # Never None: OpenSSL would ask for the password of an encrypted key on the terminal, and wait.
    key_password = settings.ssl_key_password.get_secret_value() if settings.ssl_key_password else ""
    context.load_cert_chain(
        settings.ssl_certificate_location, settings.ssl_key_location, password=key_password
    )
