"""Keeps a collection of the API at hand: listed once, then watched, however often the connection breaks.

::

    list (pages) ─► watch ─► ... ─► connection lost ─► watch from the newest version that was seen
      ▲                               410 Gone │
      └────────────────────────────────────────┘
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from microservo.errors import MicroServoError, Retryable
from microservo.platforms.kubernetes.api import Gone, Json, KubernetesApi, NotFound, Watch

logger = logging.getLogger(__name__)

T = TypeVar("T")

_WATCH_S = "240"
"""The server ends a watch after that time, and another one begins: a connection that died shows by then."""
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0

OnChange = Callable[[T | None, T, bool], None]
"""Gets what was known before (None if nothing), what is known now, and whether that is the last of it."""


class Reflector(Generic[T]):
    """One collection, by namespace and name.

    Args:
        api: the cluster.
        path: of the collection.
        kept: what is kept of an object; the rest is forgotten at once.
        on_change: is called for each change, from the thread of this; first for all that is there.
        query: selectors.
        on_listed: is called when all that is there has been told, and again after each further list.
    """

    def __init__(
        self,
        api: KubernetesApi,
        path: str,
        *,
        kept: Callable[[Json], T],
        on_change: OnChange[T],
        query: Mapping[str, str] | None = None,
        on_listed: Callable[[], None] = lambda: None,
    ) -> None:
        self._api = api
        self._path = path
        self._kept = kept
        self._on_change = on_change
        self._query = dict(query or {})
        self._on_listed = on_listed
        self._known: dict[str, T] = {}
        self._version = ""
        self._trouble = ""
        self._watch: Watch | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"watch-{path}", daemon=True)

    def start(self) -> None:
        """Begins; the first list is read in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        with self._lock:
            if self._watch is not None:
                self._watch.stop()
        self._thread.join()

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                if not self._version:
                    self._list()
                self._follow()
                pause_s = _FIRST_PAUSE_S
                continue
            except Gone as error:
                logger.info("%s: %s; listing anew", self._path, error)
                self._version = ""
            except MicroServoError as error:
                self._warn(error)
            except Exception:
                # A defect must not end the watching unseen.
                logger.exception("%s could not be watched", self._path)
                self._version = ""
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _list(self) -> None:
        found: set[str] = set()
        version = ""
        for page in self._api.pages(self._path, **self._query):
            for each in page["items"]:
                key = _key(each)
                found.add(key)
                self._changed(key, self._kept(each), is_last=False)
            version = page["metadata"]["resourceVersion"]
        for key in self._known.keys() - found:
            self._changed(key, self._known[key], is_last=True)
        self._on_listed()
        self._version, self._trouble = version, ""

    def _follow(self) -> None:
        watch = self._api.watch(
            self._path, **self._query, resourceVersion=self._version, timeoutSeconds=_WATCH_S
        )
        with self._lock:
            self._watch = watch
            if self._stopping.is_set():
                watch.stop()
        try:
            for what, found in watch:
                if what != "BOOKMARK":
                    self._changed(_key(found), self._kept(found), is_last=what == "DELETED")
                # Only now: what could not be told is read again.
                self._version = found["metadata"]["resourceVersion"]
        finally:
            with self._lock:
                self._watch = None
            watch.close()

    def _changed(self, key: str, now: T, *, is_last: bool) -> None:
        before = self._known.get(key)
        if is_last or before != now:
            self._on_change(before, now, is_last)
        if is_last:
            self._known.pop(key, None)
        else:
            self._known[key] = now

    def _warn(self, error: MicroServoError) -> None:
        if self._stopping.is_set():
            return
        if str(error) != self._trouble:
            level = logging.INFO if isinstance(error, Retryable | NotFound) else logging.WARNING
            logger.log(level, "%s can't be watched now: %s", self._path, error)
        self._trouble = str(error)


def _key(found: Json) -> str:
    metadata = found["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"
