"""One process of a supervisor: its state through all restarts, and whether it is ready."""

from __future__ import annotations

import logging
import subprocess
from concurrent.futures import Future
from dataclasses import dataclass

from microservo.supervision.process import ProcessSpec, tail

FIRST_DELAY_S = 0.2
MAX_DELAY_S = 5.0
"""Between an end and the next start; it doubles from the first to the last."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class SupervisedProcess:
    """One process through all its restarts; all but `ready_failed` is the supervisor's thread's to write.

    Attributes:
        process: None while it is down.
        exit_code: of the last end, None before the first.
        ready_failed: whether its ready check has raised an error, which is logged once.
        stopped: set when it is stopped for good; None while it shall run.
    """

    spec: ProcessSpec
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    delay_s: float = FIRST_DELAY_S
    restarts: int = 0
    exit_code: int | None = None
    ready_failed: bool = False
    stopped: Future[None] | None = None

    def is_ready(self) -> bool:
        """Whether it runs and its ready check passes; a check that raises does not pass."""
        if self.process is None:
            return False
        try:
            return self.spec.ready is None or self.spec.ready()
        except Exception:
            # Asked often: its defect is worth one traceback.
            if not self.ready_failed:
                self.ready_failed = True
                _log.exception("whether %s is ready can't be said", self.spec.name)
            return False

    def has_failed(self) -> bool:
        """Whether it has ended for good, or ends again and again."""
        ended = self.process is None and self.exit_code is not None
        return ended and (self.spec.restart == "never" or self.delay_s >= MAX_DELAY_S)

    def problem(self, what: str) -> str:
        """What is wrong with it, with its exit code and the end of its log, for an error's message."""
        code = "none yet" if self.exit_code is None else self.exit_code
        return (
            f"{self.spec.name} {what} (exit code {code}, started again {self.restarts} times); "
            f"its log {self.spec.log} ends with:\n{tail(self.spec.log)}"
        )
