"""A log with something of all that a catalogue shows, and databases of Debian's packages to show it in."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any

from fault_states import state_of
from needed import missing

from microservo.adapters.broker import Broker, Producer
from microservo.adapters.ports import free_ports
from microservo.catalogue.database import open_engine
from microservo.domain.manager.changes import created, deletion_headers, followed, record_of
from microservo.log.topics import topic_specs
from microservo.testing import eventually
from schemas.catalogue import EVALUATIONS, EXPERIMENTS, FAULT_EVENTS, FAULTS, SYSTEM_STATE, topic_of
from schemas.codec import encode
from schemas.examples import examples
from schemas.records import FaultEvent

FAULTS_THERE = 40
RECORDS = ("algorithm_deployment", "algorithm_state", "campaign_run", "campaign_event", "control_event")
START_S = 60


_examples = cache(examples)


def example(record: str) -> Any:
    """An example of the newest version of a record."""
    found = _examples()
    version = max(version for name, version in found if name == record)
    return next(iter(found[record, version].values()))


def fault_event(fault_id: str, version: int, **values: Any) -> FaultEvent:
    """An event of a fault on one instance."""
    event: FaultEvent = _examples()["fault_event", 2]["recovered"]  # type: ignore[assignment]
    return replace(event, fault_id=fault_id, version=version, **values)


def make_log(broker: Broker, prefix: str = "") -> None:
    """Makes the topics, and lets everything happen that a catalogue must get right."""
    broker.admin().ensure_topics(topic_specs(prefix=prefix, partitions=3))
    with broker.producer(linger_ms=20) as producer:
        for name in RECORDS:
            record = example(name)
            topic = topic_of(name)
            _send(producer, prefix + topic.name, str(getattr(record, topic.key)), encode(record))
        run = example("experiment")
        for number in range(3):
            _send(producer, prefix + EXPERIMENTS, f"r-{number}", encode(replace(run, run_id=f"r-{number}")))
        _send(producer, prefix + EXPERIMENTS, "r-1", None)
        evaluation = example("evaluation")
        odd = replace(evaluation, values=(float("nan"), *evaluation.values[1:]))
        for key, record in (("kept", odd), ("gone", evaluation)):
            _send(producer, prefix + EVALUATIONS, key, encode(replace(record, evaluation_id=key)))
        _send(producer, prefix + EVALUATIONS, "gone", None)
        for number in range(FAULTS_THERE):
            write_fault(producer, prefix, f"f-{number}")
        _send(producer, prefix + FAULTS, "f-0", None)
        # Cases and trailing spaces tell names apart, and NUL is a character.
        write_fault(producer, prefix, "F-1", reason="a\0b \U0001f600")
        _write_entities(producer, prefix)
        _send(producer, prefix + EXPERIMENTS, "broken", b"\x00nothing")
        producer.flush(60)


def write_fault(producer: Producer, prefix: str, fault_id: str, **values: Any) -> None:
    """The events of a fault on two instances, and its state."""
    last = {}
    for version, (instance, state) in enumerate(
        ((instance, state) for state in ("applying", "active", "recovered") for instance in ("a", "a ")), 1
    ):
        event = fault_event(fault_id, version, instance=instance, state=state, **values)
        _send(producer, prefix + FAULT_EVENTS, fault_id, encode(event))
        last[instance] = event
    # One that comes again, late, changes nothing.
    old = fault_event(fault_id, 1, instance="a", state="applying", kind="old", parameters={"old": "1"})
    _send(producer, prefix + FAULT_EVENTS, fault_id, encode(old))
    _send(producer, prefix + FAULTS, fault_id, encode(state_of(*last.values())))


def _write_entities(producer: Producer, prefix: str) -> None:
    documents = {
        "app/shop": '{"description":"","name":"shop","services":[{"launch_order":2,"service":"cart"}]}',
        "service/cart": '{"name":"cart","image":"cart:1","minimum_replicas":1,"cores":0.5}',
        "host/edge-1": '{"name":"edge-1","place":"edge","latitude":1.5,"longitude":2.5,"state":"running"}',
        "container/cart-1": '{"name":"cart-1","service":"cart","host":"edge-1","state":"running"}',
        "host/gone": '{"name":"gone","place":"cloud"}',
    }
    for number, (key, document) in enumerate(documents.items()):
        change = created(key, document, grave=None, owner="master", writer="master", at_us=number)
        _send(producer, prefix + SYSTEM_STATE, key, encode(record_of(change)))
        if key == "host/gone":
            deletion = followed(change, None, writer="master", at_us=9)
            producer.send(
                prefix + SYSTEM_STATE, key=key.encode(), value=None, headers=deletion_headers(deletion)
            )
        if key == "service/cart":
            # It knows nothing of the first, so no reader accepts it; what holds is said again behind it.
            refused = replace(change, writer="other", document='{"name":"cart","image":"evil"}')
            _send(producer, prefix + SYSTEM_STATE, key, encode(record_of(refused)))
            again = followed(change, document, writer="master", at_us=7)
            _send(producer, prefix + SYSTEM_STATE, key, encode(record_of(again)))


def _send(producer: Producer, topic: str, key: str, value: bytes | None) -> None:
    producer.send(topic, key=key.encode(), value=value)


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL of its own, from Debian's package; skips where that is not there."""
    programs = sorted(glob("/usr/lib/postgresql/*/bin"))
    if not programs:
        missing("PostgreSQL is not there; `apt-get install postgresql` adds it")
    data, port = folder / "data", free_ports(1)[0]
    user = _unprivileged(folder, "postgres")
    made = [
        f"{programs[-1]}/initdb",
        "--auth=scram-sha-256",
        "--username=owner",
        "--encoding=UTF8",
        "--no-sync",
    ]
    made += [f"--pwfile={_written(folder / 'password', 'secret', user)}", "-D", str(data)]
    _run(made, user)
    argv = [f"{programs[-1]}/postgres", "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    argv += ["-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    with _server(argv, user, folder, f"postgresql://owner:secret@127.0.0.1:{port}/postgres") as url:
        yield url


@contextmanager
def mariadb(folder: Path) -> Iterator[str]:
    """The URL of a MariaDB of its own, from Debian's package; skips where that is not there."""
    program, install = shutil.which("mariadbd", path=_PATH), shutil.which("mariadb-install-db", path=_PATH)
    if program is None or install is None:
        missing("MariaDB is not there; `apt-get install mariadb-server` adds it")
    data, port = folder / "data", free_ports(1)[0]
    user = _unprivileged(folder, "mysql")
    own = ["--no-defaults", f"--datadir={data}"]
    _run([install, *own, "--auth-root-authentication-method=normal", "--skip-test-db"], user)
    start = (
        "CREATE DATABASE catalogue; CREATE USER owner@'%' IDENTIFIED BY 'secret'; "
        "GRANT ALL ON catalogue.* TO owner@'%';"
    )
    init = _written(folder / "init.sql", start.replace("; ", ";\n"), user)
    argv = [program, *own, f"--port={port}", "--bind-address=127.0.0.1", f"--init-file={init}"]
    argv += [f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", "--skip-name-resolve"]
    with _server(argv, user, folder, f"mariadb://owner:secret@127.0.0.1:{port}/catalogue") as url:
        yield url


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"


def _unprivileged(folder: Path, name: str) -> str | None:
    """Whom the server runs as: neither starts as root."""
    if os.geteuid() != 0:
        return None
    account = pwd.getpwnam(name)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return name


def _written(path: Path, content: str, user: str | None) -> Path:
    path.write_text(content)
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


def _run(argv: list[str], user: str | None) -> None:
    done = subprocess.run(argv, user=user, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _server(argv: list[str], user: str | None, folder: Path, url: str) -> Iterator[str]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, user=user, cwd="/", stdout=log, stderr=log)
        try:
            eventually(lambda: _answers(url), timeout_s=START_S, what=f"{argv[0]} on its port")
            yield url
        finally:
            process.send_signal(signal.SIGINT if "postgres" in argv[0] else signal.SIGTERM)
            process.wait(START_S)


def _answers(url: str) -> bool:
    engine = open_engine(url)
    try:
        with engine.connect():
            return True
    except Exception:  # whatever the driver raises while nothing listens
        return False
    finally:
        engine.dispose()
