"""The catalogue on the command line, and lists that are read from it."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
from catalogued_log import FAULTS_THERE, make_log, write_fault
from click.testing import CliRunner, Result
from sqlalchemy import text

from microservo.application import algorithms, catalogue_lists, faults
from microservo.application.catalogue_database import URL_VARIABLE
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.catalogue import reading
from microservo.catalogue.database import open_engine
from microservo.cli.root import cli
from microservo.cli.session import Session
from microservo.supervision.system_file import SystemFile
from microservo.testing import MemoryBroker

Run = Callable[..., Result]
LISTS = (
    ("runs", "list", "--json"),
    ("fault", "list", "--json"),
    ("fault", "list", "--all", "--json"),
    ("fault", "list", "--id", "f-7", "--json"),
    ("algorithm", "list", "--json"),
)


@pytest.fixture(autouse=True)
def _no_topic_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_lists, "SHORT_MESSAGES", 0)


BUSY_S = 1.9
"""Less than the two seconds of a driver, and more than a list takes on a busy machine."""


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that accepts, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def swallowing() -> Iterator[int]:
    """A port whose packets get no answer: the queue of its listener is full (on Linux)."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.fixture
def broker() -> MemoryBroker:
    made = MemoryBroker()
    make_log(made)
    return made


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    made = f"sqlite:///{tmp_path}/folder/catalogue.sqlite"
    monkeypatch.setenv(URL_VARIABLE, made)
    return made


def test_a_catalogue_is_made_shown_and_found_to_be_what_the_topics_say(run: Run, url: str) -> None:
    missing = run("catalogue", "show")
    assert missing.exit_code == 2
    assert "there is no catalogue" in missing.stderr
    rebuilt = json.loads(run("catalogue", "rebuild", "--json").stdout)
    assert rebuilt["rows"]["faults"] == FAULTS_THERE + 1
    assert all(each["read"] == each["end"] for each in rebuilt["topics"].values())
    assert json.loads(run("catalogue", "show", "--json").stdout) == rebuilt
    assert "the rows that the topics give" in run("catalogue", "verify").stdout


def test_a_catalogue_is_replaced_only_when_that_is_said(run: Run, url: str) -> None:
    run("catalogue", "rebuild")
    _execute(url, "DELETE FROM runs")
    refused = run("catalogue", "rebuild")
    assert refused.exit_code == 2
    assert "--replace" in refused.stderr
    different = run("catalogue", "verify")
    assert different.exit_code == 1
    assert "runs: 0 rows are only in the first, 2 only in the second" in different.stderr
    assert run("catalogue", "rebuild", "--replace").exit_code == 0
    assert run("catalogue", "verify").exit_code == 0


def test_a_catalogue_of_another_log_is_not_shown_as_this_ones(run: Run, url: str) -> None:
    run("catalogue", "rebuild")
    _execute(url, "UPDATE projected_log SET log_id = 'other/'")
    shown = run("catalogue", "show")
    assert shown.exit_code == 2
    assert "another cluster" in shown.stderr


def test_without_a_database_it_is_said_how_one_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    refused = run("catalogue", "show")
    assert refused.exit_code == 2
    assert URL_VARIABLE in refused.stderr


@pytest.mark.parametrize("asked", LISTS, ids=" ".join)
def test_lists_are_the_same_from_catalogue_and_topics(
    run: Run, url: str, asked: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_topics = run(*asked)
    run("catalogue", "rebuild")

    def scanned(*_: object) -> None:
        pytest.fail("the topics were read")

    monkeypatch.setattr("microservo.log.runs.runs", scanned)
    for name in ("latest_events", "all_latest_events"):
        monkeypatch.setattr(faults, name, scanned)
    monkeypatch.setattr(algorithms, "read_state", scanned)
    by_catalogue = run(*asked)
    assert by_catalogue.exit_code == by_topics.exit_code == 0
    assert by_catalogue.stdout == by_topics.stdout != ""


def test_a_catalogue_that_is_behind_is_passed_over_and_that_is_said(
    run: Run, url: str, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    run("catalogue", "rebuild")
    with broker.producer() as producer:
        write_fault(producer, "", "new")
        producer.flush(10)
    with caplog.at_level(logging.WARNING):
        listed = run("fault", "list", "--json").stdout
    assert '"new"' in listed
    assert "behind the topics, which are read instead" in caplog.text
    assert "messages are not in it yet" in run("catalogue", "show").stdout


def test_a_database_that_is_away_costs_no_list(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    expected = [run(*asked).stdout for asked in LISTS]
    # Nothing listens on port 1.
    monkeypatch.setenv(URL_VARIABLE, "postgresql://owner:Open-Sesame@127.0.0.1:1/catalogue")
    with caplog.at_level(logging.WARNING):
        assert [run(*asked).stdout for asked in LISTS] == expected
    assert "postgresql://127.0.0.1:1/catalogue is away" in caplog.text
    assert "Open-Sesame" not in caplog.text
    refused = run("catalogue", "show")
    assert refused.exit_code == 1
    assert "Open-Sesame" not in refused.output


def test_short_topics_are_read_sooner_than_a_database_is_opened(
    run: Run, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("catalogue", "rebuild")
    monkeypatch.setattr(catalogue_lists, "SHORT_MESSAGES", 1_000_000)

    def opened(*_: object, **__: object) -> None:
        pytest.fail("the database was opened")

    monkeypatch.setattr(catalogue_lists, "opened", opened)
    assert all(run(*asked).exit_code == 0 for asked in LISTS)


def test_a_fault_is_looked_up_by_its_id_and_one_that_is_not_there_is_said(run: Run) -> None:
    found = [json.loads(line) for line in run("fault", "list", "--id", "f-7", "--json").stdout.splitlines()]
    assert {(each["fault_id"], each["state"]) for each in found} == {("f-7", "recovered")}
    assert len(found) == 2, "an event for each instance"
    assert "there is no fault nobody" in run("fault", "list", "--id", "nobody").stdout


def test_a_list_leaves_no_file_where_none_was(run: Run, url: str, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "catalogue.sqlite"
    file.parent.mkdir()
    assert all(run(*asked).exit_code == 0 for asked in LISTS)
    for asked in ("show", "verify"):
        refused = run("catalogue", asked)
        assert refused.exit_code == 2
        assert "there is no catalogue" in refused.stderr
    assert not any(file.parent.iterdir())


def test_the_catalogue_of_the_running_system_is_found_by_itself(
    broker: MemoryBroker, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(URL_VARIABLE)
    system = SystemFile(
        name="default",
        bootstrap_servers="",
        topic_prefix="",
        run_id="r",
        pid=os.getpid(),
        created_at_s=0.0,
        target_state="",
        otlp_url="",
        log_dir="",
        catalogue_url=url,
    )
    connection = Connection(broker=broker, topic_prefix="", system=system)
    session = Session(make_context=lambda: Context(lambda: connection))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments, obj=session)

    before = call("fault", "list", "--json").stdout
    assert "away or behind" in caplog.text
    assert call("catalogue", "rebuild").exit_code == 0
    caplog.clear()
    assert call("fault", "list", "--json").stdout == before
    assert "away or behind" not in caplog.text


@pytest.mark.parametrize("package", ["sqlalchemy", "psycopg"])
def test_a_list_needs_no_package_of_the_catalogue_and_says_which_is_missing(
    run: Run, package: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = [run(*asked).stdout for asked in LISTS]
    monkeypatch.setenv(URL_VARIABLE, "postgresql://owner:secret@127.0.0.1:1/catalogue")
    for name in [each for each in sys.modules if each.startswith(("microservo.catalogue", f"{package}."))]:
        monkeypatch.delitem(sys.modules, name)
    # As Python does it where there is no such package.
    monkeypatch.setitem(sys.modules, package, None)
    assert [run(*asked).stdout for asked in LISTS] == expected
    assert "not installed" in caplog.text
    assert "pip install" in caplog.text
    refused = run("catalogue", "rebuild")
    assert refused.exit_code == 3
    assert "pip install" in refused.stderr


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"])
@pytest.mark.parametrize("listener", [silent, swallowing])
def test_a_database_that_says_nothing_holds_up_no_list(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    listener: Callable[[], AbstractContextManager[int]],
) -> None:
    expected = run(*LISTS[1]).stdout
    # Shorter, so that a busy machine has time for all else.
    monkeypatch.setattr(reading, "_FIRST_S", 0.2)
    with listener() as port:
        monkeypatch.setenv(URL_VARIABLE, f"{backend}://owner:secret@127.0.0.1:{port}/catalogue")
        started_s = time.monotonic()
        assert run(*LISTS[1]).stdout == expected
        # The drivers themselves would wait longer: none has a deadline below two seconds.
        assert time.monotonic() - started_s < BUSY_S


def _execute(url: str, statement: str) -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
