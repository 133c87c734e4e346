"""Our settings for reaching Kafka, as Faust wants them."""

from __future__ import annotations

import ssl

import faust

from microservo.adapters.kafka.options import KafkaSettings


def broker_urls(settings: KafkaSettings) -> list[str]:
    """Faust's URLs of the bootstrap servers."""
    return [f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")]


def credentials(settings: KafkaSettings) -> faust.Credentials | None:
    """How to sign in; None where the broker asks for nothing."""
    protocol = settings.security_protocol
    if protocol == "PLAINTEXT":
        return None
    context = _ssl_context(settings) if protocol.endswith("SSL") else None
    if protocol == "SSL":
        return faust.SSLCredentials(context)
    password = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    return faust.SASLCredentials(
        username=settings.sasl_username,
        password=password,
        mechanism=settings.sasl_mechanism,
        ssl_context=context,
    )


def _ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ssl_ca_location)
    context.check_hostname = settings.ssl_endpoint_identification
    if settings.ssl_certificate_location:
        key_password = settings.ssl_key_password.get_secret_value() if settings.ssl_key_password else None
        context.load_cert_chain(
            settings.ssl_certificate_location, settings.ssl_key_location, password=key_password
        )
    return context
