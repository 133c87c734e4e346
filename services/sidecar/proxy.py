"""Accepts callers on the instance's behalf, and applies and ends faults on all their connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from services.sidecar.connection import Connection, Side
from services.sidecar.fault_set import ActiveFault, FaultSet
from services.sidecar.traffic import Traffic

if TYPE_CHECKING:
    from services.sidecar.distance import Distance


class Proxy:
    """The proxy of one instance.

    Args:
        faults: the faults in force, none at first.
        upstream: address of the instance.
        clock: epoch microseconds UTC.
        distance: as `Connection`.
    """

    def __init__(
        self,
        faults: FaultSet,
        *,
        upstream: tuple[str, int],
        clock: Callable[[], int],
        distance: Distance | None = None,
    ) -> None:
        self.faults = faults
        self.traffic = Traffic()
        self._upstream = upstream
        self.clock = clock
        self.distance = distance
        # In the order in which they came.
        self._connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None
        self._port: int | None = None
        self._turn = asyncio.Lock()

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def listen(self, port: int) -> int:
        """Accepts callers on this port of the loopback interface (0: any) and returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", port, backlog=1024)
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self._port

    async def close(self) -> None:
        """Stops listening and resets what is open, as the kernel would for a process that dies."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()
        if self._server is not None:
            await self._server.wait_closed()

    async def apply(self, fault_id: str, kind: str, parameters: Mapping[str, object]) -> ActiveFault:
        """Puts a fault in force and stamps it once it is: from then on no byte passes without it.

        Raises what `FaultSet.apply` raises.
        """
        async with self._turn:
            active = self.faults.apply(fault_id, kind, parameters)
            await self._settle()
            active.applied_at_us = active.applied_at_us or self.clock()
            return active

    async def recover(self, fault_id: str) -> tuple[ActiveFault | None, int]:
        """Ends a fault, sends on what it held back, and returns it with the instant of its end."""
        async with self._turn:
            ended = self.faults.remove(fault_id)
            # Also when there was none: the port may not have been to be had the last time.
            await self._settle()
            if ended is not None:
                for connection in list(self._connections):
                    connection.pump()
            return ended, self.clock()

    async def _settle(self) -> None:
        """Has the port be open or closed, and as many connections as may be."""
        if self.faults.closes_port and self._server is not None:
            self._server.close()
            self._server = None
        elif not self.faults.closes_port and self._server is None and self._port is not None:
            await self.listen(self._port)
        while self._connections and self.faults.refusal(len(self._connections)) is not None:
            next(reversed(self._connections)).close()

    def _accept(self) -> Side:
        self.traffic.connections += 1
        connection = Connection(
            self.faults,
            self.traffic,
            upstream=self._upstream,
            closed=self._forget,
            distance=self.distance,
            is_refused=self.faults.refusal(len(self._connections) + 1) is not None,
        )
        self._connections[connection] = None
        return connection.caller

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
