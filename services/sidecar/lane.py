"""One direction of one connection: pieces leave in the order in which they came, none before it is due.

::

    socket ─► push ─► [ queue; each piece carries what faults want of it ] ─► deliver ─► other socket
                              ▲ timer until the head is due; pump() looks again at any time

No tasks and no sleeps: when a fault ends, one call of `pump` sends on all that waited only for that fault.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.sidecar.fault_set import Hit
from services.sidecar.faults.base import UNTIL_RECOVERY_S
from services.sidecar.framing import Head

HIGH_WATER_BYTES = 262_144
LOW_WATER_BYTES = 65_536


@dataclass(slots=True)
class Piece:
    """Some bytes on their way.

    Attributes:
        head: on a request's first bytes; `ends` marks its last.
        status: on an answer's last bytes.
        eof: the stream ends here.
        travel_s: how long it takes from the caller's place to ours, or back.
    """

    data: bytes
    arrived_s: float
    hits: Sequence[Hit] = ()
    head: Head | None = None
    ends: bool = False
    status: int = 0
    eof: bool = False
    travel_s: float = 0.0

    @property
    def due_s(self) -> float:
        """When it may leave, by its way and the faults that are still in force."""
        return self.arrived_s + self.travel_s + sum(hit.effect.hold_s for hit in self.hits if hit.by.active)

    @property
    def is_cut_off(self) -> bool:
        """Whether it gets nowhere while a fault is in force."""
        return any(hit.effect.hold_s >= UNTIL_RECOVERY_S for hit in self.hits if hit.by.active)

    @property
    def is_reset(self) -> bool:
        return any(hit.effect.reset for hit in self.hits if hit.by.active)

    @property
    def is_cut(self) -> bool:
        """Whether nothing is to follow."""
        return any(hit.effect.cut for hit in self.hits if hit.by.active)

    @property
    def abort_status(self) -> int:
        """The status that the first abort in force asks for, or 0."""
        return next((h.effect.abort_status for h in self.hits if h.by.active and h.effect.abort_status), 0)


class Lane:
    """Holds pieces until they are due and the other side takes them; slows the source when it holds too much.

    Args:
        loop: gives the clock and the timer.
        deliver: passes a piece on; False when it can't be yet (then `pump` is called again later).
        source: what feeds this lane, paused above `HIGH_WATER_BYTES`, resumed below `LOW_WATER_BYTES`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        deliver: Callable[[Piece], bool],
        source: Callable[[], asyncio.ReadTransport | None],
    ) -> None:
        self._loop = loop
        self._deliver = deliver
        self._source = source
        self._queue: deque[Piece] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._held_bytes = 0
        self._blocked = True
        self._paused = False
        self._pumping = False
        self._closed = False

    @property
    def is_cut_off(self) -> bool:
        """Whether the next piece waits for nothing but the end of a fault."""
        return bool(self._queue) and self._queue[0].is_cut_off

    def push(self, piece: Piece) -> None:
        if self._closed:
            return
        self._queue.append(piece)
        self._held_bytes += len(piece.data)
        self.pump()
        if self._held_bytes > HIGH_WATER_BYTES and not self._paused:
            self._pause(True)

    def block(self) -> None:
        """The other side accepts nothing for now."""
        self._blocked = True

    def unblock(self) -> None:
        self._blocked = False
        self.pump()

    def close(self) -> None:
        """Forgets what waits: the connection is gone."""
        self._closed = True
        self._queue.clear()
        self._disarm()

    def pump(self) -> None:
        """Sends on what is due."""
        if self._pumping:
            return
        self._pumping = True
        try:
            self._send_due()
        finally:
            self._pumping = False
        if self._paused and self._held_bytes < LOW_WATER_BYTES:
            self._pause(False)

    def _send_due(self) -> None:
        self._disarm()
        while self._queue and not self._blocked:
            piece = self._queue[0]
            if (piece.hits or piece.travel_s) and piece.due_s > self._loop.time():
                self._timer = self._loop.call_at(piece.due_s, self.pump)
                return
            if not self._deliver(piece):
                return
            # Delivery may have reset the connection, and with it emptied the queue.
            if self._queue:
                self._queue.popleft()
                self._held_bytes -= len(piece.data)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pause(self, paused: bool) -> None:
        source = self._source()
        if source is None or source.is_closing():
            return
        self._paused = paused
        if paused:
            source.pause_reading()
        else:
            source.resume_reading()
