from __future__ import annotations

import logging
import sys

from microservo.errors import MicroServoError
from microservo.runtime.logging import configure_logging
from microservo.runtime.settings import settings_or_exit
from microservo.runtime.shutdown import Shutdown
from services.archiver.service import run
from services.archiver.settings import ArchiverSettings


def main() -> int:
    """Archives finished runs until SIGTERM or SIGINT."""
    settings = settings_or_exit(ArchiverSettings, "archiver")
    configure_logging("archiver", settings.log_level)
    try:
        with Shutdown() as shutdown:
            run(settings, shutdown)
    except MicroServoError:
        logging.getLogger(__name__).exception("the archiver stops")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
