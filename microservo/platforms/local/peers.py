"""Where the services that an instance calls are: a file of addresses, that may change while callers run.

Its writer renames a new file over the old one. Callers look at the file's stamp when they make a call, at
most every `LOOK_S` seconds: so a process that calls nobody does nothing, and who waits longer than `LOOK_S`
after a change knows that no call goes to an old address any more, but those under way.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from microservo.adapters.files import write_whole
from microservo.errors import InvalidInput

LOOK_S = 0.1
_log = logging.getLogger(__name__)


class Peers:
    """The addresses of services, each service's in turn; belongs to one thread.

    Args:
        addresses: base addresses of each service's instances.
    """

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self._turns: dict[str, Iterator[str]] = {}
        self._addresses: Mapping[str, Sequence[str]] = {}
        self._change(addresses)

    def next(self, service: str) -> str | None:
        """The base address to call next; None where none is known."""
        turn = self._turns.get(service)
        return next(turn) if turn is not None else None

    def _change(self, addresses: Mapping[str, Sequence[str]]) -> None:
        for service, urls in addresses.items():
            # Whose addresses stay goes on in turn.
            if urls and urls != self._addresses.get(service):
                self._turns[service] = itertools.cycle(urls)
        for service in [name for name in self._turns if not addresses.get(name)]:
            del self._turns[service]
        self._addresses = addresses


class FollowedPeers(Peers):
    """`Peers` as a file has them at each time.

    A file that can't be read later on changes nothing, and is warned of.

    Args:
        path: of the file.
        now_s: a steady clock, in seconds.

    Raises:
        InvalidInput: it isn't a JSON object of lists of addresses.
    """

    def __init__(self, path: Path, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._now_s = now_s
        self._stamp = _stamp(path)
        self._look_at_s = now_s() + LOOK_S
        super().__init__(read_peers(path))

    @classmethod
    def of(cls, path: Path | None) -> Self | Peers:
        """Those of a file, or none without one; raises as the class."""
        return Peers({}) if path is None else cls(path)

    def next(self, service: str) -> str | None:
        now_s = self._now_s()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_S
            self._look()
        return super().next(service)

    def _look(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._change(read_peers(self._path))
        except InvalidInput as error:
            _log.warning("%s; going on with the addresses from before", error)


def read_peers(path: Path) -> dict[str, list[str]]:
    """The base addresses of each service's instances.

    Raises:
        InvalidInput: the file isn't a JSON object of lists of addresses.
    """
    try:
        peers = json.loads(path.read_text(encoding="utf-8"))
        return {service: [_checked(url) for url in _list(urls)] for service, urls in peers.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        msg = f'peers file {path} is unusable ({error}); write {{"service": ["http://127.0.0.1:port"]}}'
        raise InvalidInput(msg) from error


def _list(urls: object) -> list[object]:
    if not isinstance(urls, list):
        msg = f"{urls!r} is no list"
        raise TypeError(msg)
    return urls


def _checked(url: object) -> str:
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        msg = f"{url!r} is no address"
        raise TypeError(msg)
    return url.rstrip("/")


def write_peers(path: Path, peers: Mapping[str, Sequence[str]]) -> None:
    """Writes the file in one step.

    Raises:
        OSError: it can't be written; the old one stays.
    """
    write_whole(path, json.dumps(peers).encode())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Differs after each writing, for each makes a new file; None without a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
