"""Runs a launcher."""

from __future__ import annotations

import logging
import sys

from microservo.errors import MicroServoError
from services.launcher.service import run
from services.launcher.settings import LauncherSettings


def main() -> int:
    """Runs until SIGTERM or SIGINT."""
    settings = LauncherSettings.from_arguments(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        run(settings)
    except MicroServoError as error:
        sys.stderr.write(f"launcher: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
