"""One caller's connection to the instance: two sockets, two lanes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from services.sidecar.answers import Answers, Part, reason_of
from services.sidecar.fault_set import ActiveFault, FaultSet, Hit
from services.sidecar.faults.base import SEGMENT_BYTES
from services.sidecar.framing import Frame, Framer, Head, RequestFramer, ResponseFramer
from services.sidecar.lane import Lane, Piece
from services.sidecar.traffic import Traffic

if TYPE_CHECKING:
    from services.sidecar.distance import Distance

# Close now, drop what is unsent, send RST: socket(7).
_LINGER_NOT = struct.pack("ii", 1, 0)


class Side(asyncio.Protocol):
    """One of the two sockets; `outgoing` is the lane that writes to it."""

    def __init__(self, connection: Connection, receive: Callable[[bytes], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.outgoing: Lane | None = None
        self.ended = False
        self._connection = connection
        self._receive = receive

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connection.made(self)

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def eof_received(self) -> bool:
        self._connection.half_closed(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._connection.lost()

    def pause_writing(self) -> None:
        assert self.outgoing is not None
        self.outgoing.block()

    def resume_writing(self) -> None:
        assert self.outgoing is not None
        self.outgoing.unblock()

    def end(self) -> None:
        """Says that no more bytes will come (FIN)."""
        self.ended = True
        if self.transport is not None and not self.transport.is_closing():
            # The other side has gone already, and we are yet to be told.
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def close(self, *, reset: bool) -> None:
        """Closes the socket: with RST, or after what is unsent has gone."""
        if self.transport is None:
            return
        if reset:
            sock: socket.socket = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self.transport.abort()
        else:
            self.transport.close()


class Connection:
    """Forwards bytes both ways and lets the faults in force act on them.

    Args:
        faults: asked about each request and each segment.
        traffic: counts what passes.
        upstream: address of the instance.
        closed: called once when both sockets are gone.
        distance: of the places that requests name; None where there is none.
        is_refused: it is reset as soon as it is there.
    """

    def __init__(
        self,
        faults: FaultSet,
        traffic: Traffic,
        *,
        upstream: tuple[str, int],
        closed: Callable[[Connection], None],
        distance: Distance | None = None,
        is_refused: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._faults = faults
        self._traffic = traffic
        self._upstream_address = upstream
        self._closed = closed
        self._is_refused = is_refused
        self._distance = distance
        self._travel_s = 0.0
        self._connecting: asyncio.Task[None] | None = None
        self._over = False
        self._asked: deque[Head] = deque()
        self._peer = self._place = ""
        self._begun_s: deque[float] = deque()
        self._aborting = 0
        self._met: set[ActiveFault] = set()
        self._requests_in: Framer = RequestFramer()
        self._responses_in: Framer = ResponseFramer(lambda: self._asked[0].method if self._asked else "")
        self._answers = Answers(faults)
        self.caller = Side(self, self._from_caller)
        self._instance = Side(self, self._from_instance)
        self._requests = Lane(self._loop, deliver=self._to_instance, source=lambda: self.caller.transport)
        self._responses = Lane(self._loop, deliver=self._to_caller, source=lambda: self._instance.transport)
        self.caller.outgoing = self._responses
        self._instance.outgoing = self._requests

    def pump(self) -> None:
        """Looks again at everything that waits: a fault has ended."""
        self._requests.pump()
        self._responses.pump()

    def close(self, *, reset: bool = True) -> None:
        """Closes both sockets; with RST unless the streams have ended in order."""
        if self._over:
            return
        self._over = True
        if self._connecting is not None:
            self._connecting.cancel()
        self._requests.close()
        self._responses.close()
        self.caller.close(reset=reset)
        self._instance.close(reset=reset)
        self._traffic.resets += reset
        self._traffic.active -= len(self._begun_s)
        self._closed(self)

    # What the two sides report.

    def made(self, side: Side) -> None:
        assert side.outgoing is not None
        if side is self.caller and self._is_refused:
            self._refuse()
            return
        if side is self.caller:
            self._connecting = self._loop.create_task(self._connect())
        side.outgoing.unblock()

    def half_closed(self, side: Side) -> None:
        is_caller = side is self.caller
        framer = self._requests_in if is_caller else self._responses_in
        lane = self._requests if is_caller else self._responses
        if is_caller and lane.is_cut_off:
            # What never arrived is not sent any more: who opened it has given up.
            self.close()
            return
        # A stream that ends inside a head: what was kept back still belongs to the other side.
        hits = () if is_caller else self._answers.end()
        lane.push(Piece(framer.flush(), self._loop.time(), hits, eof=True, travel_s=self._travel_s))

    def lost(self) -> None:
        self.close()

    async def _connect(self) -> None:
        host, port = self._upstream_address
        try:
            await self._loop.create_connection(lambda: self._instance, host, port)
        except OSError:
            self._refuse()

    def _refuse(self) -> None:
        """Nobody takes the connection: the caller finds it reset, as soon as may be."""
        self._traffic.refusals += 1
        self.close()

    # Caller to instance.

    def _from_caller(self, data: bytes) -> None:
        self._traffic.bytes_in += len(data)
        now_s = self._loop.time()
        for frame in self._requests_in.feed(data):
            if self._over:
                # A request before has had the connection reset.
                return
            if frame.head is not None:
                self._traffic.begin()
                self._begun_s.append(now_s)
                self._peer, self._place = frame.head.peer, frame.head.place
                if self._distance is not None:
                    self._travel_s = self._distance.ask(frame.head.place)
            hits, travel_s = self._request_hits(frame), self._travel_s
            self._requests.push(
                Piece(frame.data, now_s, hits, frame.head, ends=frame.ends, travel_s=travel_s)
            )

    def _request_hits(self, frame: Frame) -> list[Hit]:
        if not self._faults.touches_requests:
            return []
        if frame.head is not None:
            return self._faults.request_hits(frame.head)
        return self._faults.stream_hits(self._met) if self._requests_in.opaque else []

    def _to_instance(self, piece: Piece) -> bool:
        if piece.hits and piece.is_reset:
            self.close()
            return True
        if piece.head is not None:
            self._aborting = piece.abort_status
            if not self._aborting:
                self._asked.append(piece.head)
        if self._aborting:
            return self._swallow(piece)
        if piece.data:
            self._write(self._instance, piece.data)
        if piece.eof:
            self._end(self._instance)
        return True

    def _swallow(self, piece: Piece) -> bool:
        if piece.eof:
            self._end(self._instance)
            return True
        if not piece.ends:
            return True
        # HTTP/1.1 answers in the order of the requests: earlier answers go first.
        if self._asked and not self._responses_in.opaque:
            return False
        self._answer(Part(_refusal(self._aborting), ends=True, status=self._aborting))
        self._aborting = 0
        return True

    # Instance to caller.

    def _from_instance(self, data: bytes) -> None:
        for frame in self._responses_in.feed(data):
            if self._over:
                # The answer was cut.
                return
            for part in self._answers.parts(frame, self._asked[0] if self._asked else None):
                self._answer(part)
            if frame.ends and self._asked:
                self._asked.popleft()
        # An abort may have waited for the last answer.
        self._requests.pump()

    def _answer(self, part: Part) -> None:
        now_s = self._loop.time()
        data, status, travel_s = part.data, part.status if part.ends else 0, self._travel_s
        if not self._faults.touches_segments:
            self._responses.push(Piece(data, now_s, part.hits, status=status, travel_s=travel_s))
            return
        # One that is empty has something to say all the same: that the answer is cut here.
        for start in range(0, len(data) or 1, SEGMENT_BYTES):
            segment = data[start : start + SEGMENT_BYTES]
            is_last = start + SEGMENT_BYTES >= len(data)
            hits = self._faults.segment_hits(len(segment), now_s, self._peer, self._place)
            hits += part.hits if is_last else ()
            self._responses.push(
                Piece(segment, now_s, hits, status=status if is_last else 0, travel_s=travel_s)
            )

    def _to_caller(self, piece: Piece) -> bool:
        if piece.hits and piece.is_reset:
            self.close()
            return True
        if piece.status and self._begun_s:
            self._traffic.answer(piece.status, self._loop.time() - self._begun_s.popleft())
        if piece.data:
            self._traffic.bytes_out += len(piece.data)
            self._write(self.caller, piece.data)
        if piece.hits and piece.is_cut:
            self.close(reset=False)
            return True
        if piece.eof:
            self._end(self.caller)
        return True

    def _write(self, side: Side, data: bytes) -> None:
        if side.transport is not None:
            side.transport.write(data)

    def _end(self, side: Side) -> None:
        side.end()
        if self.caller.ended and self._instance.ended:
            self.close(reset=False)


def _refusal(status: int) -> bytes:
    reason = reason_of(status)
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {len(reason)}\r\n\r\n"
    return (head + reason).encode("ascii")
