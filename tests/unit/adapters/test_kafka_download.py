"""Fetching the embedded broker's jars, without a network."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from microservo.adapters.kafka.embedded import download
from microservo.adapters.kafka.embedded.download import default_cache_dir, jars
from microservo.adapters.kafka.embedded.lock import Pin, kafka_pins, parse
from microservo.errors import Fatal, Unavailable
from microservo.testing import eventually


def content(name: str) -> bytes:
    return f"jar {name}".encode()


def pin(name: str) -> Pin:
    return Pin(
        group="org.example", artifact=name, version="1", sha256=hashlib.sha256(content(name)).hexdigest()
    )


PINS = [pin(name) for name in ("a", "b", "c")]


class Repository:
    """Hands out jars and counts how often."""

    def __init__(
        self, *, missing: tuple[str, ...] = (), altered: tuple[str, ...] = (), failures: int = 0
    ) -> None:
        self.fetched: list[str] = []
        self._missing = missing
        self._altered = altered
        self._failures = failures
        self._lock = threading.Lock()

    def fetch(self, pin: Pin, folder: Path) -> Path:
        with self._lock:
            self.fetched.append(pin.artifact)
            if pin.artifact in self._missing or len(self.fetched) <= self._failures:
                msg = "no route to host"
                raise ConnectionError(msg)
        folder.mkdir(parents=True)
        path = folder / pin.filename
        path.write_bytes(b"something else" if pin.artifact in self._altered else content(pin.artifact))
        return path


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_RETRY_AFTER_S", 0)


def test_jars_come_in_the_locks_order_with_progress(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    paths = jars(
        tmp_path, lambda done, total: progress.append((done, total)), pins=PINS, fetch=Repository().fetch
    )
    assert [path.read_bytes() for path in paths] == [content(name) for name in "abc"]
    assert progress == [(1, 3), (2, 3), (3, 3), (3, 3)]


def test_a_second_start_fetches_nothing(tmp_path: Path) -> None:
    first, second = Repository(), Repository()
    progress: list[tuple[int, int]] = []
    assert jars(tmp_path, pins=PINS, fetch=first.fetch) == jars(
        tmp_path, lambda done, total: progress.append((done, total)), pins=PINS, fetch=second.fetch
    )
    assert second.fetched == []
    assert progress == [(3, 3)]


def test_a_second_start_hashes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jars(tmp_path, pins=PINS, fetch=Repository().fetch)

    def refused(path: Path) -> str:
        msg = f"{path} was hashed again"
        raise AssertionError(msg)

    monkeypatch.setattr(download, "sha256_of", refused)
    jars(tmp_path, pins=PINS, fetch=Repository().fetch)


def test_a_full_cache_may_be_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = jars(tmp_path, pins=PINS, fetch=Repository().fetch)

    def refused(folder: Path) -> NoReturn:
        raise PermissionError(folder)

    monkeypatch.setattr(download, "_locked", refused)
    assert jars(tmp_path, pins=PINS, fetch=Repository().fetch) == paths


def test_a_fetch_that_was_cut_short_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first, second = Repository(missing=("c",)), Repository()

    def fetch_last_what_is_missing(pin: Pin, folder: Path) -> Path:
        if pin.artifact == "c":
            # A failure cancels what has not begun, so it waits until the others are kept.
            eventually(lambda: len(list(tmp_path.glob("*/[ab]-1.jar"))) == 2, what="the others in the cache")
        return first.fetch(pin, folder)

    with pytest.raises(Unavailable):
        jars(tmp_path, pins=PINS, fetch=fetch_last_what_is_missing)
    jars(tmp_path, pins=PINS, fetch=second.fetch)
    assert second.fetched == ["c"]


def test_an_altered_jar_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"org\.example:b:1 was fetched with SHA-256 .*, expected"):
        jars(tmp_path, pins=PINS, fetch=Repository(altered=("b",)).fetch)
    assert list(tmp_path.rglob("b-1.jar")) == []


@pytest.mark.parametrize("damage", [b"", b"jaR b"])
def test_a_jar_damaged_in_the_cache_is_fetched_again(tmp_path: Path, damage: bytes) -> None:
    path = jars(tmp_path, pins=PINS, fetch=Repository().fetch)[1]
    path.write_bytes(damage)
    os.utime(path, ns=(1, 1))
    second = Repository()
    assert jars(tmp_path, pins=PINS, fetch=second.fetch)[1].read_bytes() == content("b")
    assert second.fetched == ["b"]


def test_a_broken_marker_only_costs_time(tmp_path: Path) -> None:
    paths = jars(tmp_path, pins=PINS, fetch=Repository().fetch)
    (paths[0].parent / "verified.json").write_text("{")
    second = Repository()
    assert jars(tmp_path, pins=PINS, fetch=second.fetch) == paths
    assert second.fetched == []


def test_a_passing_failure_is_tried_again(tmp_path: Path) -> None:
    repository = Repository(failures=2)
    jars(tmp_path, pins=PINS[:1], fetch=repository.fetch)
    assert repository.fetched == ["a"] * 3


def test_a_machine_without_a_network_gets_the_other_ways_named(tmp_path: Path) -> None:
    with pytest.raises(
        Unavailable, match=r"no route to host.*MICROSERVO_BOOTSTRAP_SERVERS.*docker compose up"
    ):
        jars(tmp_path, pins=PINS, fetch=Repository(missing=("a", "b", "c")).fetch)
    assert list(tmp_path.rglob(".incoming-*")) == []


def test_leftovers_of_a_killed_fetch_are_removed(tmp_path: Path) -> None:
    paths = jars(tmp_path, pins=PINS[:1], fetch=Repository().fetch)
    leftover = paths[0].parent / ".incoming-killed"
    leftover.mkdir()
    jars(tmp_path, pins=PINS, fetch=Repository().fetch)
    assert not leftover.exists()


def test_of_two_that_ask_at_once_one_fetches(tmp_path: Path) -> None:
    repository = Repository()
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(jars, tmp_path, pins=PINS, fetch=repository.fetch) for _ in range(2)]
        assert futures[0].result() == futures[1].result()
    assert sorted(repository.fetched) == ["a", "b", "c"]


def test_a_cache_that_can_not_be_written_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Unavailable, match="set MICROSERVO_CACHE"):
        jars(tmp_path / "file", pins=PINS, fetch=Repository().fetch)


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.delenv("MICROSERVO_CACHE", raising=False)
    assert default_cache_dir() == Path("/xdg/microservo")
    monkeypatch.setenv("MICROSERVO_CACHE", "/own")
    assert default_cache_dir() == Path("/own")
    monkeypatch.delenv("MICROSERVO_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "microservo"


def test_the_shipped_lock_pins_every_jar() -> None:
    pins = kafka_pins()
    assert len(pins) == len({each.filename for each in pins}) == 46
    assert all(len(each.sha256) == 64 for each in pins)
    assert {each.version for each in pins if each.group == "org.apache.kafka"} == {"4.3.0"}


def test_a_lock_may_have_comments_and_empty_lines() -> None:
    assert parse("# by hand\n\norg.example:a:1 ff\n") == [
        Pin(group="org.example", artifact="a", version="1", sha256="ff")
    ]
