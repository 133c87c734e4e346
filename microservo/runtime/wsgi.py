"""A WSGI application served from a thread, with an orderly end."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from waitress import create_server, wasyncore
from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import RequestEntityTooLarge

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from waitress.parser import HTTPRequestParser
    from waitress.server import BaseWSGIServer

_DRAIN_S = 5.0
UNREAD = "microservo.unread"
"""Key of a WSGI environment: the body has more than `max_request_body_size` and was not read; answer 413."""


class WsgiServer:
    """Serves a WSGI application until it is closed.

    Args:
        app: the application; called from `threads` threads at once, also for a body that is too large.
        port: port to listen on, 0 for any free one; `port` tells which it became.
        options: further settings of waitress, by their names there.
    """

    def __init__(
        self, app: WSGIApplication, *, port: int, host: str = "127.0.0.1", threads: int = 2, **options: object
    ) -> None:
        self._server: BaseWSGIServer = create_server(app, host=host, port=port, threads=threads, **options)
        self._server.channel_class = _Channel
        self.port = int(self._server.effective_port)
        self._thread = threading.Thread(target=self._server.run, name=f"wsgi-{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answers what is being worked on, then stops listening; a second call does nothing."""
        if not self._thread.is_alive():
            return
        # Workers first: one that ended after the trigger's pipe was closed would write to someone else's.
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=_DRAIN_S)
        # The sockets belong to the serving thread, so it closes them.
        self._server.trigger.pull_trigger(lambda: wasyncore.close_all(self._server._map))
        self._thread.join(_DRAIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _UnreadTask(WSGITask):  # type: ignore[misc]  # waitress has no types
    """Lets the application answer a request whose body is left unread, which only it can count."""

    def execute(self) -> None:
        self.set_close_on_finish()
        self.get_environment()[UNREAD] = True
        super().execute()


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One connection."""

    @staticmethod
    def error_task_class(channel: HTTPChannel, request: HTTPRequestParser) -> Task:
        task = _UnreadTask if isinstance(request.error, RequestEntityTooLarge) else ErrorTask
        return task(channel, request)
