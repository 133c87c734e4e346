"""Where the services that an instance calls are: a file of addresses, that may change while callers run.

Its writer renames a new file over the old one. Callers look at the file's stamp when they make a call, at
most every `LOOK_S` seconds: so a process that calls nobody does nothing, and who waits longer than `LOOK_S`
after a change knows that no call goes to an old address any more, but those under way.

A caller that says where it is gets the nearest instance: one on its own host, else in its own region, else in
the region that is next nearest, in turn among those. Where one does not answer, which the caller reports, the
next is taken, and that one is tried again by one call after `SILENT_S`. Callers without a place take all in
turn.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from microservo.adapters.files import write_whole
from microservo.errors import InvalidInput

LOOK_S = 0.1
SILENT_S = 2.0
"""So long nothing is sent to who did not answer, while others do."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replica:
    """One instance of a service.

    Attributes:
        url: its base address.
        host: that it runs on; empty where there are no hosts.
        region: that the host lies in, likewise.
    """

    url: str
    host: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Vicinity:
    """Where a caller is, by what is near it.

    Attributes:
        host: that it runs on; empty for none.
        regions: the nearest first; one that is not among them is farther away.
    """

    host: str = ""
    regions: tuple[str, ...] = ()

    def rank(self, replica: Replica) -> int:
        """How far away an instance is: less is nearer."""
        if self.host and replica.host == self.host:
            return -1
        return self.regions.index(replica.region) if replica.region in self.regions else len(self.regions)


NOWHERE = Vicinity()
"""Of callers that have no place, to whom all instances are equally far away."""


class Peers:
    """The instances of services, each service's in turn or the nearest first; belongs to one thread.

    Args:
        replicas: of each service, or their base addresses.
        near: where the caller is.
        now_s: a steady clock, in seconds.
    """

    def __init__(
        self,
        replicas: Mapping[str, Sequence[Replica | str]],
        *,
        near: Vicinity = NOWHERE,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._near = near
        self._now_s = now_s
        self._replicas: Mapping[str, Sequence[Replica]] = {}
        self._turns: dict[tuple[str, Vicinity], list[_Turn]] = {}
        self._silent_until_s: dict[str, float] = {}
        self._change({name: [_replica(each) for each in found] for name, found in replicas.items()})

    def next(self, service: str, near: Vicinity | None = None) -> str | None:
        """The base address to call next; None where none is known.

        Args:
            service: its name.
            near: where the call is made, if not where the caller is.
        """
        where = self._near if near is None else near
        turns = self._turns.get((service, where))
        if turns is None:
            turns = self._turns[service, where] = _turns(self._replicas.get(service, ()), where)
        if where != NOWHERE:
            for turn in turns:
                for _ in range(turn.size):
                    if self._is_heard(url := next(turn.urls)):
                        return url
        return next(turns[0].urls) if turns else None

    def has(self, service: str) -> bool:
        """Whether any instance of a service is known."""
        return bool(self._replicas.get(service))

    def silent(self, url: str) -> None:
        """Enters that an instance did not answer a call."""
        self._silent_until_s[url] = self._now_s() + SILENT_S

    def heard(self, url: str) -> None:
        """Enters that an instance answered, whatever it said."""
        if self._silent_until_s:
            self._silent_until_s.pop(url, None)

    def _is_heard(self, url: str) -> bool:
        """Whether a call may go there; of who was silent, the first one that asks so late is to find out."""
        until_s = self._silent_until_s.get(url)
        if until_s is None:
            return True
        if self._now_s() < until_s:
            return False
        self.silent(url)
        return True

    def _change(self, replicas: Mapping[str, Sequence[Replica]]) -> None:
        # Whose instances stay goes on in turn.
        self._turns = {
            key: turns
            for key, turns in self._turns.items()
            if replicas.get(key[0], ()) == self._replicas.get(key[0], ())
        }
        known = {each.url for found in replicas.values() for each in found}
        self._silent_until_s = {url: until_s for url, until_s in self._silent_until_s.items() if url in known}
        self._replicas = replicas


@dataclass(frozen=True, slots=True)
class _Turn:
    """Instances that are equally far away."""

    urls: Iterator[str]
    size: int


def _turns(replicas: Sequence[Replica], near: Vicinity) -> list[_Turn]:
    """The nearest first."""
    ranked = sorted(replicas, key=near.rank)
    groups = [[each.url for each in group] for _, group in itertools.groupby(ranked, key=near.rank)]
    return [_Turn(itertools.cycle(urls), len(urls)) for urls in groups]


def _replica(found: Replica | str) -> Replica:
    return Replica(found) if isinstance(found, str) else found


class FollowedPeers(Peers):
    """`Peers` as a file has them at each time.

    A file that can't be read later on changes nothing, and is warned of.

    Args:
        path: of the file.
        near: where the caller is.
        now_s: a steady clock, in seconds.

    Raises:
        InvalidInput: it isn't a JSON object of lists of instances.
    """

    def __init__(
        self, path: Path, *, near: Vicinity = NOWHERE, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._look_at_s = now_s() + LOOK_S
        super().__init__(read_peers(path), near=near, now_s=now_s)

    @classmethod
    def of(cls, path: Path | None, near: Vicinity = NOWHERE) -> Self | Peers:
        """Those of a file, or none without one; raises as the class."""
        return Peers({}) if path is None else cls(path, near=near)

    def next(self, service: str, near: Vicinity | None = None) -> str | None:
        self._look()
        return super().next(service, near)

    def has(self, service: str) -> bool:
        self._look()
        return super().has(service)

    def _look(self) -> None:
        now_s = self._now_s()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_S
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._change(read_peers(self._path))
        except InvalidInput as error:
            _log.warning("%s; going on with the addresses from before", error)


def read_peers(path: Path) -> dict[str, list[Replica]]:
    """The instances of each service.

    Raises:
        InvalidInput: the file isn't a JSON object of lists of instances.
    """
    try:
        peers = json.loads(path.read_text(encoding="utf-8"))
        return {service: [_checked(each) for each in _list(found)] for service, found in peers.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        msg = (
            f'peers file {path} is unusable ({error}); write {{"service": ["http://127.0.0.1:port"]}}, or '
            '{"url": ..., "host": ..., "region": ...} in place of an address'
        )
        raise InvalidInput(msg) from error


def _list(found: object) -> list[object]:
    if not isinstance(found, list):
        msg = f"{found!r} is no list"
        raise TypeError(msg)
    return found


def _checked(found: object) -> Replica:
    replica = Replica(**found) if isinstance(found, dict) else Replica(found)  # type: ignore[arg-type]
    if not all(isinstance(each, str) for each in asdict(replica).values()):
        msg = f"{found!r} is no instance"
        raise TypeError(msg)
    if not replica.url.startswith(("http://", "https://")):
        msg = f"{replica.url!r} is no address"
        raise TypeError(msg)
    return replace(replica, url=replica.url.rstrip("/"))


def write_peers(path: Path, peers: Mapping[str, Sequence[Replica | str]]) -> None:
    """Writes the file in one step.

    Raises:
        OSError: it can't be written; the old one stays.
    """
    rows = {
        service: [each if isinstance(each, str) else asdict(each) for each in found]
        for service, found in peers.items()
    }
    write_whole(path, json.dumps(rows).encode())


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Differs after each writing, for each makes a new file; None without a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
