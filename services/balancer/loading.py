"""Giving nginx what the balancer wants served, as soon as that changes."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from microservo.domain.balancing.configuration import Entry, configuration
from microservo.errors import Retryable, Unavailable
from microservo.runtime.log_limit import LogLimit
from services.balancer.balancer import Balancer
from services.balancer.nginx_process import NginxProcess

logger = logging.getLogger(__name__)

_LOOK_S = 0.2
_PAUSE_S = 1.0


class Loading:
    """Loads configurations from a thread of its own until it is closed; one at a time, the newest next.

    Args:
        balancer: what is to be served.
        nginx: what serves; it runs already.
        entry: what stays the same.
    """

    def __init__(self, balancer: Balancer, nginx: NginxProcess, entry: Entry) -> None:
        self._balancer = balancer
        self._nginx = nginx
        self._entry = entry
        self._limit = LogLimit()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loading", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            wanted = self._balancer.wait_wanted(_LOOK_S)
            if wanted is None:
                continue
            try:
                text = configuration(self._entry, wanted.services, wanted.generation)
                self._nginx.load(text, wanted.generation)
            except (Retryable, Unavailable) as error:
                self._say(str(error))
            except Exception as error:
                # Changes that come later must still be loaded.
                logger.exception("generation %d could not be loaded", wanted.generation)
                self._say(repr(error))
            else:
                self._balancer.tell_served(wanted.generation)

    def _say(self, reason: str) -> None:
        self._balancer.tell_failure(reason)
        if (rest := self._limit.end_of_line("nginx", self._limit.kind("nginx", reason))) is not None:
            logger.error("%s%s", reason, rest)
        self._closed.wait(_PAUSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
