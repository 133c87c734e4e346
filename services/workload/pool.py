"""The connections of an instance to its database: so many at once, and who finds none waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from microservo.errors import MicroServoError


class PoolTimeout(MicroServoError):
    """No connection became free in time."""


class ConnectionPool:
    """Lends connections, first come, first served.

    Args:
        size: how many there are.
        timeout_s: how long one is waited for.
    """

    def __init__(self, *, size: int, timeout_s: float) -> None:
        self.size = size
        self.used = 0
        self.pending = 0
        """How many wait for one."""
        self._timeout_s = timeout_s
        self._free = asyncio.Semaphore(size)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """One connection, held until the block ends.

        Raises:
            PoolTimeout: none became free in time.
        """
        await self.acquire()
        try:
            yield
        finally:
            self.release()

    async def acquire(self) -> None:
        """Takes a connection, until `release`. Raises as `connection`."""
        self.pending += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._free.acquire()
        except TimeoutError:
            message = f"none of {self.size} connections became free within {self._timeout_s:g} s"
            raise PoolTimeout(message) from None
        finally:
            self.pending -= 1
        self.used += 1

    def release(self) -> None:
        """Gives a connection back that was acquired."""
        self.used -= 1
        self._free.release()
