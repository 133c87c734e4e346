from __future__ import annotations

import logging
import sys

from microservo.errors import MicroServoError
from microservo.runtime.logging import configure_logging
from microservo.runtime.settings import settings_or_exit
from microservo.runtime.shutdown import Shutdown
from services.fault_injector.service import run
from services.fault_injector.settings import FaultInjectorSettings


def main() -> int:
    """Carries out fault requests until SIGTERM or SIGINT."""
    settings = settings_or_exit(FaultInjectorSettings, "fault-injector")
    configure_logging("fault-injector", settings.log_level)
    try:
        with Shutdown() as shutdown:
            run(settings, shutdown)
    except MicroServoError:
        logging.getLogger(__name__).exception("the fault injector stops")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
