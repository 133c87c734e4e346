from __future__ import annotations

import logging
import sys

from microservo.errors import MicroServoError
from microservo.runtime.logging import configure_logging
from microservo.runtime.settings import settings_or_exit
from microservo.runtime.shutdown import Shutdown
from services.telemetry_collector.service import run
from services.telemetry_collector.settings import Settings
from services.telemetry_collector.topics import WRITER


def main() -> int:
    """Collects telemetry until SIGTERM or SIGINT."""
    settings = settings_or_exit(Settings, "telemetry-collector")
    configure_logging(WRITER, settings.log_level)
    try:
        with Shutdown() as shutdown:
            run(settings, shutdown)
    except MicroServoError:
        logging.getLogger(__name__).exception("the collector stops")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
