from __future__ import annotations

import confluent_kafka
import pytest
from pydantic import ValidationError

from microservo.adapters.kafka.options import common_options, consumer_options, producer_options
from microservo.adapters.kafka.settings import KafkaSettings


def test_the_environment_sets_how_kafka_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROSERVO_BOOTSTRAP_SERVERS", "kafka.example:9093")
    monkeypatch.setenv("MICROSERVO_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("MICROSERVO_SASL_USERNAME", "me")
    monkeypatch.setenv("MICROSERVO_SASL_PASSWORD", "secret")
    monkeypatch.setenv("MICROSERVO_SSL_CA_LOCATION", "/etc/ca.pem")
    options = common_options(KafkaSettings().access)
    assert {
        "bootstrap.servers": "kafka.example:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": "secret",
        "ssl.ca.location": "/etc/ca.pem",
        "ssl.endpoint.identification.algorithm": "https",
    }.items() <= options.items()


def test_a_password_is_never_printed() -> None:
    settings = KafkaSettings(
        security_protocol="SASL_PLAINTEXT", sasl_username="me", sasl_password="secret", ssl_key_password="key"
    )
    for printed in (repr(settings), repr(settings.access)):
        assert "secret" not in printed
        assert "'key'" not in printed


def test_sasl_without_credentials_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs sasl_username and sasl_password"):
        KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_username="me")


def test_plain_connections_carry_no_tls_or_sasl_options() -> None:
    options = common_options(KafkaSettings(sasl_username="me", sasl_password="secret").access)
    assert not [name for name in options if name.startswith(("ssl.", "sasl."))]


def test_a_client_certificate_is_passed_on() -> None:
    options = common_options(
        KafkaSettings(
            security_protocol="SSL",
            ssl_certificate_location="/c.pem",
            ssl_key_location="/k.pem",
            ssl_key_password="key",
            ssl_endpoint_identification=False,
        ).access
    )
    assert options["ssl.certificate.location"] == "/c.pem"
    assert options["ssl.key.location"] == "/k.pem"
    assert options["ssl.key.password"] == "key"
    assert options["ssl.endpoint.identification.algorithm"] == "none"


def test_the_producer_is_idempotent_and_partitions_as_java_does() -> None:
    assert {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 7,
    }.items() <= producer_options(KafkaSettings().access, linger_ms=7).items()


def test_the_consumer_commits_only_on_request() -> None:
    options = consumer_options(KafkaSettings().access, group_id="g", start="latest")
    assert {
        "group.id": "g",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "latest",
    }.items() <= options.items()


def test_a_consumer_without_a_group_never_jumps() -> None:
    options = consumer_options(KafkaSettings().access, group_id=None, start="earliest")
    assert options["auto.offset.reset"] == "error"


def test_librdkafka_knows_every_option() -> None:
    access = KafkaSettings(
        bootstrap_servers="127.0.0.1:1",
        security_protocol="SASL_SSL",
        sasl_username="me",
        sasl_password="secret",
    ).access
    confluent_kafka.Consumer(consumer_options(access, group_id="g", start="earliest")).close()
    confluent_kafka.Producer(producer_options(access, linger_ms=5))
