from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from microservo.application.algorithm_logs import LogLine, ReadAlgorithmLogs
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.table import execute
from microservo.errors import InvalidInput, Unavailable
from microservo.testing import MemoryBroker, eventually

CONTEXT = Context(lambda: Connection(broker=MemoryBroker(), topic_prefix=""))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a runner that has run two versions of an algorithm."""
    for version in (2, 10):
        version_folder = tmp_path / f"mine@{version}"
        version_folder.mkdir()
        (version_folder / "host.log").write_text(f"host of {version}\n")
    return tmp_path


def read(folder: Path, **given: Any) -> list[tuple[str, str]]:
    command = replace(ReadAlgorithmLogs(name="mine", folder=folder), **given)
    return [(line.source, line.text) for line in execute(command, CONTEXT)]


def test_the_logs_of_the_newest_version_come_one_after_another(folder: Path) -> None:
    (folder / "mine@10" / "algorithm.log").write_text("hello\nno end of line")
    (folder / "mine@10" / "build.log").write_text("Collecting river\n")
    assert read(folder) == [
        ("build", "Collecting river"),
        ("host", "host of 10"),
        ("algorithm", "hello"),
        ("algorithm", "no end of line"),
    ]


def test_an_older_version_can_be_asked_for(folder: Path) -> None:
    assert read(folder, version=2) == [("host", "host of 2")]
    with pytest.raises(InvalidInput, match="version 3 of 'mine' has not run here; those that have: 2, 10"):
        read(folder, version=3)


def test_what_was_moved_aside_when_the_log_was_full_comes_first(folder: Path) -> None:
    (folder / "mine@10" / "algorithm.log.1").write_text("older\n")
    (folder / "mine@10" / "algorithm.log").write_text("newer\n")
    assert read(folder)[1:] == [("algorithm", "older"), ("algorithm", "newer")]


def test_text_that_is_none_is_shown_as_far_as_it_is(folder: Path) -> None:
    (folder / "mine@10" / "algorithm.log").write_bytes(b"caf\xe9\r\n")
    assert read(folder)[1:] == [("algorithm", "caf\ufffd")]


def test_a_line_without_an_end_comes_in_pieces(folder: Path) -> None:
    (folder / "mine@10" / "algorithm.log").write_bytes(b"x" * 200_000)
    pieces = [text for source, text in read(folder) if source == "algorithm"]
    assert len(pieces) > 1
    assert "".join(pieces) == "x" * 200_000


def test_an_algorithm_that_never_ran_is_refused_with_those_that_did(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no algorithm 'other' has run in .*; those that have: mine"):
        execute(ReadAlgorithmLogs(name="other", folder=folder), CONTEXT)


def test_without_a_system_here_it_is_said_where_the_logs_are() -> None:
    with pytest.raises(Unavailable, match="call this there, with --folder"):
        execute(ReadAlgorithmLogs(name="mine"), CONTEXT)


def test_following_goes_on_through_a_log_that_is_made_later_and_moved_aside(folder: Path) -> None:
    lines: list[str] = []
    log = folder / "mine@10" / "algorithm.log"
    following = execute(ReadAlgorithmLogs(name="mine", folder=folder, follow=True), CONTEXT)
    thread = threading.Thread(target=_keep, args=(following, lines), daemon=True)
    thread.start()
    log.write_text("first\n")
    eventually(lambda: "first" in lines, timeout_s=10)
    with log.open("a") as file:
        file.write("second\n")
    log.replace(log.with_name("algorithm.log.1"))
    log.write_text("third\n")
    eventually(lambda: "third" in lines, timeout_s=10)
    assert lines == ["host of 10", "first", "second", "third"]


def _keep(following: Iterator[LogLine], lines: list[str]) -> None:
    for line in following:
        lines.append(line.text)
        if line.text == "third":
            return
