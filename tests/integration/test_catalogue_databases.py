"""The catalogue on real servers of Debian's packages, and in a projector that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from catalogued_log import FAULTS_THERE, make_log, mariadb, postgresql, write_fault
from sqlalchemy import Engine, text

from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.catalogue.comparing import differences, rows
from microservo.catalogue.database import migrate, open_engine
from microservo.catalogue.projection import Projection, rebuild
from microservo.catalogue.reading import Catalogue
from microservo.errors import Retryable
from microservo.log.faults import latest_events
from microservo.log.runs import runs
from microservo.testing import MemoryBroker, eventually
from schemas.catalogue import FAULTS

pytestmark = pytest.mark.integration
SERVERS = {"postgresql": postgresql, "mariadb": mariadb}


@pytest.fixture(scope="module", params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    # Not pytest's folder, which is only its own user's: the server runs as another one.
    with TemporaryDirectory(prefix="catalogue-") as folder:
        Path(folder).chmod(0o755)
        with SERVERS[request.param](Path(folder)) as started:
            yield started


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = open_engine(url)
    yield made
    made.dispose()


def test_every_database_holds_the_same_rows(url: str, engine: Engine, tmp_path: Path) -> None:
    broker = MemoryBroker()
    make_log(broker)
    projection = Projection(broker, engine, url)
    with broker.consumer(group_id=None) as consumer:
        projection.begin(consumer)
        while messages := consumer.consume(11, 0.0):
            projection.handle(consumer, messages)
            projection.handle(consumer, messages)
    migrate(engine)
    own = f"sqlite:///{tmp_path}/rebuilt"
    other = open_engine(own)
    list(rebuild(broker, other, own))
    assert list(differences(engine, other)) == []
    assert len(rows(engine)["faults"]) == FAULTS_THERE + 1
    catalogue = Catalogue(broker, engine, url)
    assert catalogue.faults() == latest_events(broker, FAULTS)
    assert catalogue.runs() == runs(broker)
    other.dispose()


def test_a_wrong_password_is_told_without_being_shown(url: str) -> None:
    wrong = url.replace("secret", "hidden")
    engine = open_engine(wrong)
    broker = MemoryBroker()
    make_log(broker)
    with broker.consumer(group_id=None) as consumer, pytest.raises(Retryable) as caught:
        Projection(broker, engine, wrong).begin(consumer)
    assert "hidden" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    engine.dispose()


def test_a_projector_that_is_killed_goes_on_where_it_was(
    kafka_broker: KafkaBroker, kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    kafka = kafka_broker
    prefix = f"catalogue-{uuid.uuid4().hex[:8]}-"
    make_log(kafka, prefix)
    url = f"sqlite:///{tmp_path}/catalogue.sqlite"
    engine = open_engine(url)
    catalogue = Catalogue(kafka, engine, url, prefix)
    for life in range(3):
        with kafka.producer(linger_ms=20) as producer:
            for number in range(300):
                write_fault(producer, prefix, f"life-{life}-{number}")
            producer.flush(60)
        process = _projector(kafka_settings, prefix, url)
        try:
            if life < 2:
                # In the middle: it has written something of this life, and as a rule not all of it.
                eventually(lambda: _count(engine) > 300 * life, timeout_s=90, what="rows of this life")  # noqa: B023
            else:
                eventually(lambda: _count(engine) >= 900 + FAULTS_THERE + 1, timeout_s=90, what="all rows")
                eventually(lambda: catalogue.faults() is not None, timeout_s=90, what="an answer")
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    again = f"sqlite:///{tmp_path}/again.sqlite"
    other = open_engine(again)
    list(rebuild(kafka, other, again, prefix))
    assert list(differences(engine, other)) == []
    engine.dispose()
    other.dispose()


def _count(engine: Engine) -> int:
    with engine.connect().execution_options(reads_only=True) as connection:
        tables = connection.execute(text("SELECT name FROM sqlite_master WHERE name = 'faults'")).all()
        return connection.execute(text("SELECT count(*) FROM faults")).scalar_one() if tables else 0


def _projector(kafka: KafkaSettings, prefix: str, url: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "MICROSERVO_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "MICROSERVO_TOPIC_PREFIX": prefix,
        "MICROSERVO_CATALOGUE_URL": url,
    }
    return subprocess.Popen([sys.executable, "-P", "-m", "services.projector"], env=environment)
