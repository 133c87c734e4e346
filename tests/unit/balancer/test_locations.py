from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from microservo.domain.geography import Coordinates
from microservo.domain.registry.locations import Place
from services.balancer.locations import LocationsLog

HERE = Coordinates(1.0, 2.0)


class Log:
    """The log, what writes it, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "places.log"
        self.now_s = 0.0
        self.reopened = 0
        self.writer = self.path.open("ab", buffering=0)
        self.reader = LocationsLog(
            self.path,
            default=HERE,
            reopen=self.reopen,
            most_bytes=100,
            late_s=5,
            monotonic_s=lambda: self.now_s,
        )

    def reopen(self) -> None:
        self.reopened += 1

    def begin_anew(self) -> None:
        """What nginx does when it has been asked to."""
        self.writer = self.path.open("ab", buffering=0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    found = Log(tmp_path)
    yield found
    found.reader.close()
    found.writer.close()


def test_lines_are_requests_and_half_a_line_waits_for_its_rest(log: Log) -> None:
    log.writer.write(b"cart 35.68 139.69\nfront  \ncart 0 ")
    assert log.reader.read() == [Place("cart", 35.68, 139.69, 1), Place("front", 1.0, 2.0, 1)]
    assert log.reader.read() == []
    log.writer.write(b"0\n")
    assert log.reader.read() == [Place("cart", 0.0, 0.0, 1)]


@pytest.mark.parametrize("line", [b"cart 95 0", b"cart x 0", b"cart nan 0"])
def test_what_is_no_place_is_counted_as_one_from_here(log: Log, line: bytes) -> None:
    log.writer.write(line + b"\n")
    assert log.reader.read() == [Place("cart", 1.0, 2.0, 1)]


def test_a_large_file_is_replaced_and_what_comes_late_in_it_is_counted(log: Log) -> None:
    log.writer.write(b"cart 1 1\n" * 20)
    assert len(log.reader.read()) == 20
    assert log.reopened == 1
    assert not log.path.exists()
    late = log.writer
    late.write(b"cart 2 2\n")
    assert log.reader.read() == [Place("cart", 2.0, 2.0, 1)]
    log.begin_anew()
    log.writer.write(b"cart 3 3\n")
    late.write(b"cart 4 4\n")
    assert {place.latitude for place in log.reader.read()} == {3.0, 4.0}
    log.now_s = 6
    assert log.reader.read() == []
    late.close()


def test_a_file_that_is_not_there_yet_has_no_requests(tmp_path: Path) -> None:
    log = LocationsLog(tmp_path / "places.log", default=HERE, reopen=lambda: None)
    assert log.read() == []
    log.close()
