"""Managers that have been silent for long are taken out of their runs, so that no window waits for ever."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from microservo.errors import InvalidInput, Retryable
from microservo.log.writers import GONE_AFTER_US
from schemas.catalogue import SERVICE_ACTIONS
from streams.joiner import Joiner

logger = logging.getLogger(__name__)

_TRY_AGAIN_S = 10.0

Retire = Callable[[str, str], None]
"""Ends the part of a writer in a run, by run and name, if the log says too that it has been silent."""


class SilentManagers:
    """Has them retired, each once in a while; belongs to one event loop.

    What is read here may lie behind, so it only leads to the question: whether a writer is silent is decided
    by its last message on the log. Its final stamp is a fact on the log, so a replay knows it too. A manager
    that lives after all writes under another name from then on.

    Args:
        retire: asked in another thread.
        clock_s: seconds that never fall.
    """

    def __init__(self, retire: Retire, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._retire = retire
        self._clock_s = clock_s
        self._tried_s: dict[tuple[str, str], float] = {}

    async def look(self, joiners: Iterable[Joiner]) -> None:
        """Has those retired that lie far behind all other writers of their runs."""
        behind = {
            (run_id, writer)
            for joiner in joiners
            for run_id in joiner.open_runs
            for writer in joiner.windower.behind(run_id, SERVICE_ACTIONS, GONE_AFTER_US)
        }
        self._tried_s = {key: tried_s for key, tried_s in self._tried_s.items() if key in behind}
        for key in sorted(behind):
            if self._clock_s() - self._tried_s.get(key, -_TRY_AGAIN_S) < _TRY_AGAIN_S:
                continue
            self._tried_s[key] = self._clock_s()
            run_id, writer = key
            try:
                await asyncio.get_running_loop().run_in_executor(None, self._retire, run_id, writer)
            except (InvalidInput, Retryable) as error:
                logger.info("%s is waited for in run %s: %s", writer, run_id, error)
            else:
                logger.warning("%s was silent for too long, so run %s goes on without it", writer, run_id)
