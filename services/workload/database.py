"""The database of an instance: what each endpoint answered last, by key, in a log on its disk.

::

    find ─► cache ──hit──► done
              └─miss─► a connection ─► round trip ─► read
    put ──► a connection ─► the lock of the writer ─► append ─► cache

Every request finds and puts one row, so that a fault of cache, connections, lock or disk
concerns all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from services.workload.cache import Cache
from services.workload.pool import ConnectionPool
from services.workload.volume import Volume

NAME = "shop"
"""What the database is called; its tables are called like the endpoints."""
CONNECTIONS = 8
_CONNECT_TIMEOUT_S = 2.0
_FILE = "rows.log"
# As one in the same data centre takes.
_ROUND_TRIP_S = 0.004
_COMPACT_BYTES = 2**20
_MOST_ROWS = 1024


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a row lies in the log."""

    offset: int
    length: int


class Database:
    """Rows by table and key, the newest of each; the log is written anew when it has become long.

    Args:
        volume: the disk that it lies on.
        cache: of rows that were read or written lately; one that isn't there is not remembered.

    Attributes:
        folders: by name of who set it, a folder of the volume in which the log is looked for.
        query_latencies: by name of what slows queries down: given a table, seconds that a query waits in
            addition, on its connection.
        writer_delays: likewise seconds for which each writer keeps the lock in addition.
    """

    def __init__(self, volume: Volume, cache: Cache) -> None:
        self.folders: dict[str, str] = {}
        self.pool = ConnectionPool(size=CONNECTIONS, timeout_s=_CONNECT_TIMEOUT_S)
        self.writer = asyncio.Lock()
        self.query_latencies: dict[str, Callable[[str], float]] = {}
        self.writer_delays: dict[str, Callable[[], float]] = {}
        self._volume = volume
        self._cache = cache
        self._places: dict[tuple[str, str], _Place] = {}
        self._end = 0

    @property
    def file(self) -> str:
        """The name of the log on the volume."""
        return "/".join([*self.folders.values(), _FILE])

    async def find(self, table: str, key: str) -> bool:
        """Looks a row up, in the cache or on the disk; whether there is one.

        Raises:
            PoolTimeout: no connection became free.
            OSError: the disk says so.
        """
        name = f"{table}/{key}"
        if self._cache.hit(name, monotonic()):
            return True
        async with self.pool.connection():
            await asyncio.sleep(_ROUND_TRIP_S + self._latency_s(table))
            place = self._places.get((table, key))
            if place is None:
                return False
            await self._volume.read(self.file, place.offset, place.length)
        self._cache.put(name, monotonic())
        return True

    async def put(self, table: str, key: str, row: bytes) -> None:
        """Writes a row. Raises as `find`."""
        async with self.pool.connection(), self.writer:
            delay_s = sum(seconds() for seconds in self.writer_delays.values())
            if delay_s:
                await asyncio.sleep(delay_s)
            if self._end > _COMPACT_BYTES:
                await self._compact()
            place = _Place(await self._volume.append(self.file, row), len(row))
            self._end = place.offset + place.length
            # Anew, so that the order is that of the writing.
            self._places.pop((table, key), None)
            self._places[table, key] = place
        self._cache.put(f"{table}/{key}", monotonic())

    def _latency_s(self, table: str) -> float:
        return sum(seconds(table) for seconds in self.query_latencies.values())

    async def _compact(self) -> None:
        """Keeps the newest rows alone."""
        log = await self._volume.read(self.file, 0, self._end)
        kept = list(islice(reversed(self._places.items()), _MOST_ROWS))[::-1]
        rows: Sequence[bytes] = [log[at.offset : at.offset + at.length] for _, at in kept]
        await self._volume.replace(self.file, b"".join(rows))
        self._end, places = 0, {}
        for (name, _), row in zip(kept, rows, strict=True):
            places[name] = _Place(self._end, len(row))
            self._end += len(row)
        self._places = places
