"""The command line: parses, has `microservo.application` and `microservo.system` act, prints."""

from __future__ import annotations

import sys

from microservo.errors import Unavailable
from microservo.packages import check_packages

_UNAVAILABLE = 3


def main() -> None:
    """The console script."""
    try:
        check_packages()
    except Unavailable as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(_UNAVAILABLE)
    # Only now: it imports the packages that were looked for.
    from microservo.cli.root import main as run  # noqa: PLC0415

    run()
