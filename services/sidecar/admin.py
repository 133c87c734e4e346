"""HTTP/1.1 on the admin port: small, because a whole web framework would double the sidecar's memory."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus

import httptools

from services.sidecar.handlers import Answer, Handlers

MAX_BODY_BYTES = 65_536
_log = logging.getLogger(__name__)


class AdminProtocol(asyncio.Protocol):
    """One connection to the admin port: parses requests, answers each in turn."""

    def __init__(self, handlers: Handlers, connections: set[AdminProtocol]) -> None:
        self._handlers = handlers
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport | None = None
        self._url = self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._send(Answer(400, '{"error": "not an HTTP/1.1 request"}'), keep=False)

    # What httptools calls, by these names.

    def on_message_begin(self) -> None:
        self._url = self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body = (self._body + body)[: MAX_BODY_BYTES + 1]

    def on_message_complete(self) -> None:
        keep = self._parser.should_keep_alive()
        if len(self._body) > MAX_BODY_BYTES:
            self._send(Answer(413, '{"error": "the body is larger than 65536 bytes"}'), keep=False)
            return
        path = self._url.partition(b"?")[0].decode("latin-1")
        method = self._parser.get_method().decode("ascii")
        answer = self._handlers.handle(method, path, self._body)
        if method in ("PUT", "DELETE"):
            _log.info("%s %s answered %d %s", method, path, answer.status, answer.body)
        self._send(answer, keep=keep)

    def _send(self, answer: Answer, *, keep: bool) -> None:
        assert self.transport is not None
        body = answer.body.encode()
        head = (
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        if not keep:
            self.transport.close()


class AdminServer:
    """The listener of the admin port."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._connections: set[AdminProtocol] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, port: int) -> int:
        """Answers on this port of the loopback interface (0: any) and gives the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: AdminProtocol(self._handlers, self._connections), "127.0.0.1", port
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.abort()
        await self._server.wait_closed()
