"""Hands TCP connections on to a server, and cuts them when a test says so, as a network would."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from microservo.testing import eventually

_CHUNK = 65_536
_CUT_S = 30.0
_RESET = struct.pack("ii", 1, 0)


class Forwarder:
    """Listens on loopback for as long as `forwarding` lasts.

    Args:
        server: `host:port` that it stands before.
    """

    def __init__(self, server: str) -> None:
        host, _, port = server.rpartition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._refused: list[socket.socket] = []
        self._is_cut = False
        self._lock = threading.Lock()
        self.accepted = 0
        """How many connections were handed on."""

    @property
    def address(self) -> str:
        """`host:port` for its clients."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def open(self) -> int:
        """How many connections there are."""
        with self._lock:
            return len(self._open) // 2

    @contextlib.contextmanager
    def forwarding(self) -> Iterator[Forwarder]:
        """Hands on what comes."""
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            # The accept of another thread ends only so.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._reset_all()
            for each in self._refused:
                each.close()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Resets all connections, and ends each other one before it says anything while this lasts."""
        with self._lock:
            self._is_cut = True
        self._reset_all()
        try:
            yield
        finally:
            with self._lock:
                self._is_cut = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self._is_cut:
                    # Not reset: Python's ssl leaves a socket open that was reset before its handshake.
                    client.shutdown(socket.SHUT_WR)
                    self._refused.append(client)
                    continue
                server = socket.create_connection(self._server)
                self._open |= {client, server}
                self.accepted += 1
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._hand_on, args=(source, sink), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                sink.sendall(data)
        with self._lock:
            for each in {source, sink} & self._open:
                self._open.remove(each)
                # Wakes the thread of the other way.
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        sink.close()

    def _reset_all(self) -> None:
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    # Wakes who waits for its next bytes, who then closes it.
                    each.shutdown(socket.SHUT_RD)
        eventually(lambda: self.open == 0, timeout_s=_CUT_S, what="all connections to be cut")
