"""A collection stays at hand whatever the API server answers."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator
from typing import Any, cast

import pytest
import urllib3

from microservo.errors import MicroServoError, Retryable
from microservo.platforms.kubernetes.api import Gone, Json, KubernetesApi, Watch
from microservo.platforms.kubernetes.reflector import Reflector

PATIENCE_S = 20.0
Told = queue.SimpleQueue[tuple[str, bool]]


def thing(name: str, version: int, value: str = "") -> Json:
    metadata = {"namespace": "shop", "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "value": f"{name}{value}"}


class FakeWatch:
    def __init__(self, changes: list[tuple[str, Json] | MicroServoError]) -> None:
        self._changes = changes
        self._stopped = queue.SimpleQueue[None]()

    def __iter__(self) -> Iterator[tuple[str, Json]]:
        for each in self._changes:
            if isinstance(each, MicroServoError):
                raise each
            yield each
        if not self._changes:
            self._stopped.get()

    def stop(self) -> None:
        self._stopped.put(None)

    def close(self) -> None: ...


class FakeApi:
    """Answers lists and watches as set up; the last watch says nothing until it is stopped."""

    def __init__(self, lists: list[Any], watches: list[Any]) -> None:
        self.lists = deque(lists)
        self.watches = deque([*watches, []])
        self.asked: list[str] = []

    def pages(self, path: str, **query: str) -> Iterator[Json]:
        found = self.lists.popleft()
        if isinstance(found, MicroServoError):
            raise found
        version, *pages = found
        for page in pages:
            yield {"metadata": {"resourceVersion": version}, "items": page}

    def watch(self, path: str, **query: str) -> FakeWatch:
        self.asked.append(query["resourceVersion"])
        found = self.watches.popleft()
        if isinstance(found, MicroServoError):
            raise found
        return FakeWatch(found)


def follow(api: FakeApi, expected: int) -> list[tuple[str, bool]]:
    told: Told = queue.SimpleQueue()
    reflector = Reflector(
        cast(KubernetesApi, api),
        "/things",
        kept=lambda found: str(found["value"]),
        on_change=lambda _before, now, is_last: told.put((now, is_last)),
    )
    reflector.start()
    try:
        return [told.get(timeout=PATIENCE_S) for _ in range(expected)]
    finally:
        reflector.stop()
        assert told.empty()


def test_what_is_there_is_told_first_page_by_page_and_then_each_change() -> None:
    changes = [("ADDED", thing("c", 4)), ("MODIFIED", thing("a", 5, "!")), ("DELETED", thing("b", 6, "?"))]
    api = FakeApi([("3", [thing("a", 1)], [thing("b", 2)])], [changes])
    assert follow(api, 5) == [("a", False), ("b", False), ("c", False), ("a!", False), ("b?", True)]
    assert api.asked[0] == "3"


def test_a_watch_that_breaks_off_goes_on_from_the_newest_version_and_bookmarks_count() -> None:
    bookmark = {"metadata": {"resourceVersion": "9"}}
    broken = [("BOOKMARK", bookmark), Retryable("the connection is lost")]
    api = FakeApi([("3", [thing("a", 1)])], [broken, [("ADDED", thing("b", 10))]])
    assert follow(api, 2) == [("a", False), ("b", False)]
    assert api.asked[:2] == ["3", "9"]


@pytest.mark.parametrize("where", ["at once", "in the stream"])
def test_what_the_server_has_forgotten_is_listed_anew_and_what_went_meanwhile_is_told(where: str) -> None:
    gone = Gone("too old resource version")
    api = FakeApi(
        [("3", [thing("a", 1), thing("b", 2)]), ("20", [thing("b", 2), thing("c", 19)])],
        [gone if where == "at once" else [gone]],
    )
    assert follow(api, 4) == [("a", False), ("b", False), ("c", False), ("a", True)]


def test_a_server_that_is_away_at_the_start_is_asked_again() -> None:
    api = FakeApi([Retryable("no answer"), ("3", [thing("a", 1)])], [])
    assert follow(api, 1) == [("a", False)]


def test_what_does_not_change_what_is_kept_is_not_told() -> None:
    api = FakeApi([("3", [thing("a", 1)])], [[("MODIFIED", thing("a", 4)), ("ADDED", thing("b", 5))]])
    assert follow(api, 2) == [("a", False), ("b", False)]


class LostResponse:
    """Of a connection that is gone already."""

    def shutdown(self) -> None:
        raise OSError(9, "Bad file descriptor")


def test_a_watch_whose_connection_is_lost_can_be_stopped() -> None:
    Watch(cast(urllib3.HTTPResponse, LostResponse())).stop()
