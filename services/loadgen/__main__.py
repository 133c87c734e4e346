from __future__ import annotations

import sys

from microservo.errors import MicroServoError
from services.loadgen.settings import Settings


def main() -> int:
    """Runs the users until SIGTERM or SIGINT."""
    settings = Settings.from_arguments(sys.argv[1:])
    # Only now the costly imports, so that --help and a bad argument answer at once.
    from services.loadgen.service import run  # noqa: PLC0415

    try:
        run(settings)
    except MicroServoError as error:
        sys.stderr.write(f"loadgen: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
