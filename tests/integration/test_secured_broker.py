"""A broker that asks who one is, over TLS: clients get in, unowned get a reason, no password gets out."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates import Authority
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pydantic import ValidationError
from recorded_run import begin_run
from synthetic import Sent, Story, messages, windowers

from microservo.adapters.broker import Partition, TopicSpec
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import BrokerProcess, EmbeddedBroker, default_cache_dir
from microservo.adapters.ports import free_ports
from microservo.domain.join import process_message
from microservo.domain.joined_topics import SOURCES
from microservo.errors import InvalidInput, Unavailable
from microservo.log.reader import read_topic
from microservo.runtime.settings import ServiceSettings
from microservo.testing import eventually
from schemas import catalogue
from schemas.codec import encode
from streams.credentials import credentials

pytestmark = pytest.mark.integration

USER, PASSWORD, WRONG = "alice", "Open-Sesame-4711", "Open-Barley-0815"
KEY_PASSWORD = "Under-The-Mat-2342"
SECRETS = (PASSWORD, WRONG, KEY_PASSWORD)
STORY = Story(seconds=12)
PARTITIONS = 1
WAYS = ("PLAIN", "SCRAM-SHA-512", "certificate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A running broker, and what its clients need."""

    signed_in: str
    """Where one signs in, over TLS."""
    certified: str
    """Where one shows a certificate."""
    plain: str
    """Where nothing is asked."""
    authority: Path
    stranger: Path
    """An authority that did not sign the broker's certificate."""
    certificate: Path
    key: Path

    def environment(self, way: str, **changes: str) -> dict[str, str]:
        """What to set, for one of `WAYS`, without the prefix."""
        common = {"SSL_CA_LOCATION": str(self.authority)}
        if way == "certificate":
            own = {
                "BOOTSTRAP_SERVERS": self.certified,
                "SECURITY_PROTOCOL": "SSL",
                "SSL_CERTIFICATE_LOCATION": str(self.certificate),
                "SSL_KEY_LOCATION": str(self.key),
                "SSL_KEY_PASSWORD": KEY_PASSWORD,
            }
        else:
            own = {
                "BOOTSTRAP_SERVERS": self.signed_in,
                "SECURITY_PROTOCOL": "SASL_SSL",
                "SASL_MECHANISM": way,
                "SASL_USERNAME": USER,
                "SASL_PASSWORD": PASSWORD,
            }
        return {f"MICROSERVO_{name}": value for name, value in (common | own | changes).items()}

    def settings(self, way: str, **changes: str) -> KafkaSettings:
        """The same, read as a service would."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment(way, **changes).items():
                patch.setenv(name, value)
            return KafkaSettings()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder / "authority")
    stranger = Authority(folder / "stranger")
    certificate, key = authority.sign("client", key_password=KEY_PASSWORD)
    plain, controller, signed_in, certified = free_ports(4)
    broker = EmbeddedBroker(
        folder / "kafka",
        port=plain,
        controller_port=controller,
        cache_dir=default_cache_dir(),
        extra_properties=_listeners(plain, controller, signed_in, certified)
        | _stores(folder, authority)
        | _users(),
    )
    broker.prepare()
    process = BrokerProcess(broker, log=folder / "broker.log")
    try:
        process.start()
        _add_scram_user(process.bootstrap_servers)
        yield Secured(
            signed_in=f"127.0.0.1:{signed_in}",
            certified=f"127.0.0.1:{certified}",
            plain=process.bootstrap_servers,
            authority=authority.certificate,
            stranger=stranger.certificate,
            certificate=certificate,
            key=key,
        )
    finally:
        process.stop()


def _listeners(plain: int, controller: int, signed_in: int, certified: int) -> dict[str, str]:
    clients = ",".join(
        f"{name}://127.0.0.1:{port}"
        for name, port in (("PLAINTEXT", plain), ("SIGNED", signed_in), ("CERTIFIED", certified))
    )
    return {
        "listeners": f"{clients},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": clients,
        "listener.security.protocol.map": (
            "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SIGNED:SASL_SSL,CERTIFIED:SSL"
        ),
    }


def _stores(folder: Path, authority: Authority) -> dict[str, str]:
    certificate, key = authority.sign("broker")
    (folder / "broker.pem").write_text(key.read_text() + certificate.read_text())
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
        "listener.name.certified.ssl.client.auth": "required",
    }


def _users() -> dict[str, str]:
    of_listener, modules = "listener.name.signed", "org.apache.kafka.common.security"
    return {
        f"{of_listener}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        f"{of_listener}.plain.sasl.jaas.config": (
            f'{modules}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
        ),
        f"{of_listener}.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
    }


def _add_scram_user(bootstrap_servers: str) -> None:
    entry = UserScramCredentialUpsertion(
        USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), PASSWORD.encode()
    )
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for future in admin.alter_user_scram_credentials([entry]).values():
        future.result(30)


def _assert_secret(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("way", WAYS)
def test_topics_messages_and_groups_work(
    secured: Secured, way: str, topic_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = KafkaBroker(secured.settings(way))
    topic = topic_prefix + "letters"
    assert broker.admin().ensure_topics([TopicSpec(name=topic, partitions=1, config={})]) == [topic]
    with broker.producer() as producer:
        producer.send(topic, key=b"k", value=b"hello")
        producer.flush(30)
    with broker.consumer(group_id=topic_prefix + "readers") as consumer:
        consumer.subscribe([topic])
        found = eventually(lambda: consumer.consume(1, 0.5), what="the message")
        consumer.commit({Partition(topic, 0): found[0].offset + 1})
    assert [message.value for message in found] == [b"hello"]
    _assert_secret(caplog.text)


REFUSALS = {
    "wrong password": ("PLAIN", {"SASL_PASSWORD": WRONG}, "refused to let 'alice' in.*SASL_PASSWORD"),
    "wrong SCRAM password": ("SCRAM-SHA-512", {"SASL_PASSWORD": WRONG}, "refused to let 'alice' in"),
    "mechanism not offered": ("SCRAM-SHA-256", {}, "mechanisms: PLAIN,SCRAM-SHA-512.*SASL_MECHANISM"),
    "unknown authority": (
        "PLAIN",
        {"SSL_CA_LOCATION": "{stranger}"},
        "no trusted connection.*SSL_CA_LOCATION",
    ),
    "other host name": ("PLAIN", {"BOOTSTRAP_SERVERS": "localhost:{port}"}, "no trusted connection.*names"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_why_and_what_to_check(
    secured: Secured, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    way, changes, reason = REFUSALS[name]
    known = {"stranger": secured.stranger, "port": secured.signed_in.rpartition(":")[2]}
    filled = {key: value.format(**known) for key, value in changes.items()}
    broker = KafkaBroker(secured.settings(way, CONNECT_TIMEOUT_S="1", **filled))
    with pytest.raises(Unavailable, match=reason) as refusal:
        broker.consumer(group_id=None)
    _assert_secret(f"{refusal.value} {refusal.value.__cause__!r} {caplog.text}")


def test_another_host_name_is_fine_where_it_is_not_checked(secured: Secured) -> None:
    port = secured.signed_in.rpartition(":")[2]
    settings = secured.settings(
        "PLAIN", BOOTSTRAP_SERVERS=f"localhost:{port}", SSL_ENDPOINT_IDENTIFICATION="false"
    )
    KafkaBroker(settings).admin().wait_ready(30)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SSL_CA_LOCATION", "/nowhere/authority.pem"), ("SSL_KEY_PASSWORD", WRONG), ("SSL_KEY_PASSWORD", "")],
)
def test_files_that_can_not_be_used_are_refused_by_both_clients(
    secured: Secured, variable: str, value: str
) -> None:
    settings = secured.settings("certificate", **{variable: value})
    for act in (lambda: KafkaBroker(settings).admin(), lambda: credentials(settings)):
        with pytest.raises(InvalidInput, match="PEM file") as refusal:
            act()
        _assert_secret(str(refusal.value))


@contextmanager
def _worker(environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "streams.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams"],
            env=os.environ | environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _expected(sent: list[Sent]) -> set[bytes]:
    """The labelled windows of the pure join."""
    joins = windowers(STORY, PARTITIONS)
    found = set()
    for message in sent:
        windower = joins[message.partition]
        process_message(windower, message.topic, message.value, message.headers)
        found |= {encode(closed.labelled_window()) for closed in windower.close()}
    return found


def _send_run(broker: KafkaBroker, prefix: str) -> list[Sent]:
    """Makes the topics of the stream processor, and sends a small run."""
    names = [*SOURCES, catalogue.EXPERIMENTS, catalogue.FEATURE_WINDOWS, catalogue.LABELLED_WINDOWS]
    names += [name + catalogue.DEAD_LETTER_SUFFIX for name in SOURCES]
    broker.admin().ensure_topics(
        [TopicSpec(name=prefix + name, partitions=PARTITIONS, config={}) for name in names]
    )
    begin_run(broker, STORY, prefix=prefix)
    sent = messages(STORY, partitions=PARTITIONS)
    with broker.producer() as producer:
        for one in sent:
            producer.send(
                prefix + one.topic,
                key=one.key,
                value=one.value,
                headers=one.headers,
                partition=one.partition,
            )
        producer.flush(30)
    return sent


def test_stream_processors_join_their_groups_and_cut_windows(
    secured: Secured, topic_prefix: str, tmp_path: Path
) -> None:
    # All at once, each on topics of its own: one after another they would take half as long again.
    with ExitStack() as running:
        runs = [_Run(secured, way, topic_prefix + way.lower() + "-", tmp_path / way) for way in WAYS]
        workers = [running.enter_context(_worker(run.environment, run.folder)) for run in runs]
        for run, worker in zip(runs, workers, strict=True):
            run.wait_for_windows(worker)
            admin = AdminClient({"bootstrap.servers": secured.plain})
            group = run.prefix + "microservo-streams"
            assert len(admin.describe_consumer_groups([group])[group].result(30).members) == 1
    for run in runs:
        assert run.windows() == run.truth
        _assert_secret(run.log())


class _Run:
    """A small run on topics of its own, and what a worker makes of it."""

    def __init__(self, secured: Secured, way: str, prefix: str, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.prefix = folder, prefix
        self._broker = KafkaBroker(secured.settings(way))
        # At its most talkative where the password itself is sent.
        level = "DEBUG" if way == "PLAIN" else "INFO"
        self.environment = secured.environment(way, TOPIC_PREFIX=prefix, LOG_LEVEL=level)
        self.truth = _expected(_send_run(self._broker, prefix))
        assert self.truth

    def windows(self) -> set[bytes]:
        return {m.value or b"" for m in read_topic(self._broker, self.prefix + catalogue.LABELLED_WINDOWS)}

    def wait_for_windows(self, worker: subprocess.Popen[bytes]) -> None:
        eventually(
            lambda: worker.poll() is not None or self.windows() >= self.truth,
            timeout_s=90,
            interval_s=0.3,
            what="every window",
        )
        assert worker.poll() is None, self.log()[-3000:]

    def log(self) -> str:
        return (self.folder / "streams.log").read_text()


def test_the_stream_processor_ends_where_it_is_refused(secured: Secured, tmp_path: Path) -> None:
    environment = secured.environment("PLAIN", SASL_PASSWORD=WRONG, CONNECT_TIMEOUT_S="1", LOG_LEVEL="DEBUG")
    with _worker(environment, tmp_path) as worker:
        assert worker.wait(60) != 0
    log = (tmp_path / "streams.log").read_text()
    assert "refused to let 'alice' in" in log
    _assert_secret(log)


@pytest.mark.parametrize("way", WAYS)
def test_settings_never_show_a_password(secured: Secured, way: str) -> None:
    settings = secured.settings(way)
    dumps = (settings.model_dump(), settings.model_dump_json(), credentials(settings), settings)
    _assert_secret(" ".join(f"{dump!r} {dump}" for dump in dumps))


def test_incomplete_settings_are_refused_without_showing_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MICROSERVO_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("MICROSERVO_SASL_PASSWORD", PASSWORD)
    for kind in (KafkaSettings, ServiceSettings):
        with pytest.raises(ValidationError, match="needs sasl_username") as refusal:
            kind()
        _assert_secret(f"{refusal.value} {refusal.value!r}")
