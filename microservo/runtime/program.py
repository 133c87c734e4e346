"""What every process of the platform is: settings, logs, a body that runs until a signal, an exit code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from microservo.errors import MicroServoError
from microservo.runtime.logging import configure_logging
from microservo.runtime.settings import ServiceSettings, settings_or_exit
from microservo.runtime.shutdown import Shutdown

T = TypeVar("T", bound=ServiceSettings)

logger = logging.getLogger(__name__)


def run_program(name: str, settings_type: type[T], run: Callable[[T, Shutdown], None]) -> int:
    """The exit code of a process: 0 after SIGTERM or SIGINT, 1 after an error that it stops at.

    Args:
        name: of the program, in its logs.
        settings_type: read from the environment.
        run: returns when shutdown is requested.

    Raises:
        SystemExit: a setting can't be used; the message is one line.
    """
    settings = settings_or_exit(settings_type, name)
    configure_logging(name, settings.log_level)
    try:
        with Shutdown() as shutdown:
            run(settings, shutdown)
    except MicroServoError:
        logger.exception("%s stops", name)
        return 1
    return 0
