"""One HTTP server for every process: ASGI applications on uvicorn, on the loopback interface.

What may change something asks for a token and checks `Host` (`guarded`), so that no web page that the user
has open can reach it by way of the loopback interface.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Literal, Self

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from microservo.errors import Unavailable

LOOPBACK = "127.0.0.1"
LOOPBACK_6 = "::1"
LOOPBACK_NAMES = frozenset({LOOPBACK, LOOPBACK_6, "localhost"})

Loop = Literal["asyncio", "uvloop"]

_BACKLOG = 2048
_DRAIN_S = 5
_KEEP_ALIVE_S = 120
"""Longer than the minute between two exports of metrics, which use a connection again."""
_START_S = 10.0


def listen(port: int, hosts: Sequence[str] = (LOOPBACK,)) -> list[socket.socket]:
    """Sockets that listen on one port of each host.

    Args:
        port: 0 for one that is free.
        hosts: addresses; those after the first are left out where the machine does not have them.

    Raises:
        Unavailable: the port of the first host is taken.
    """
    first = _listening(hosts[0], port)
    found = [first]
    for host in hosts[1:]:
        try:
            found.append(_listening(host, first.getsockname()[1]))
        except Unavailable:
            continue
    return found


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        msg = f"this machine has no address {host}"
        raise Unavailable(msg) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        msg = f"port {port} of {host} can't be listened on ({error.strerror}); give another one, or 0 for any"
        raise Unavailable(msg) from error
    return listener


async def serve(app: ASGIApp, sockets: Sequence[socket.socket], stop: asyncio.Event) -> None:
    """Serves in the running loop until `stop` is set, then answers what is under way."""
    server = _Server(_config(app))
    serving = asyncio.create_task(server.serve(sockets=list(sockets)))
    await asyncio.wait({serving, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
    server.stop()
    await serving


class HttpServer:
    """Serves an application from a thread of its own until it is closed.

    Args:
        app: an ASGI application, Starlette's as a rule.
        port: 0 for one that is free; `port` says which it became.
        hosts: as `listen`.
        loop: uvloop for what takes thousands of requests a second; it costs each process some megabytes.

    Raises:
        Unavailable: the port is taken, or not served in time.
    """

    def __init__(
        self, app: ASGIApp, *, port: int, hosts: Sequence[str] = (LOOPBACK,), loop: Loop = "asyncio"
    ) -> None:
        self._sockets = listen(port, hosts)
        self.port = int(self._sockets[0].getsockname()[1])
        self._server = _Server(_config(app, loop))
        self._thread = threading.Thread(
            target=self._server.run, args=(self._sockets,), name=f"http-{self.port}", daemon=True
        )
        self._thread.start()
        if not self._server.serving.wait(_START_S):
            self.close()
            msg = (
                f"port {self.port} was not served within {_START_S:g} s; this machine is too busy, try again"
            )
            raise Unavailable(msg)

    def close(self) -> None:
        """Answers what is being worked on, then stops listening; a second call does nothing."""
        self._server.stop()
        self._thread.join(_DRAIN_S + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Server(uvicorn.Server):
    """Says when it serves, sleeps while there is no request, and leaves signals to the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = threading.Event()
        self._sleeping: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def stop(self) -> None:
        """Lets it end; from any thread."""
        self.should_exit = True
        if self._sleeping is not None:
            loop, stopping = self._sleeping
            # A loop that is closed has ended already.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stopping.set)

    async def main_loop(self) -> None:
        # Uvicorn's own looks ten times a second whether to end, in each of two dozen processes of a machine.
        stopping = asyncio.Event()
        self._sleeping = (asyncio.get_running_loop(), stopping)
        if not self.should_exit:
            await stopping.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # They are `Shutdown`'s.
        yield


def _config(app: ASGIApp, loop: Loop = "asyncio") -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop=loop,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who sends is who has the connection, whatever a request says of others.
        proxy_headers=False,
        # It is kept by the loop that `main_loop` replaces.
        date_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )


def guarded(
    app: ASGIApp,
    token: str,
    *,
    open_paths: frozenset[str] = frozenset({"/healthz", "/metrics"}),
    checks_host: bool = True,
) -> ASGIApp:
    """The application behind a check of `Host` and of a bearer token.

    Args:
        app: what answers once both are right.
        token: what `Authorization: Bearer ...` must hold; empty asks for none.
        open_paths: those that need no token; `Host` is checked for them too.
        checks_host: False where other machines may ask, by whatever name they have for this one.
    """

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None
        if scope["type"] == "http":
            refusal = _refusal(scope, token, open_paths, checks_host=checks_host)
        await (refusal or app)(scope, receive, send)

    return checked


def foreign_host(scope: Scope) -> str | None:
    """What is wrong with the `Host` of a request to the loopback interface; None where it is right."""
    host = _header(scope, b"host").decode("latin-1")
    if _name_of(host).lower() in LOOPBACK_NAMES:
        return None
    return f"host {host[:80]!r} is not served; call 127.0.0.1"


def _refusal(scope: Scope, token: str, open_paths: frozenset[str], *, checks_host: bool) -> ASGIApp | None:
    if checks_host and (error := foreign_host(scope)) is not None:
        return _answer(403, error)
    if not token or scope["path"] in open_paths:
        return None
    given = _header(scope, b"authorization").removeprefix(b"Bearer ")
    if hmac.compare_digest(given, token.encode()):
        return None
    return _answer(401, "the token of this system is missing or wrong; send 'Authorization: Bearer ...'")


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in reversed(scope["headers"]) if key.lower() == name), b"")


def _name_of(host: str) -> str:
    """A `Host` header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _answer(status: int, error: str) -> ASGIApp:
    return JSONResponse({"error": error}, status_code=status)
