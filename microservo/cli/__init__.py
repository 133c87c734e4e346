"""The command line: parses, has `microservo.application` and `microservo.system` act, prints."""

from __future__ import annotations

import sys

from microservo.errors import Unavailable
from microservo.packages import check_packages


def main() -> None:
    """The console script."""
    try:
        # Before anything else of ours is imported: what it imports may be another's.
        check_packages()
    except Unavailable as error:
        sys.exit(_refused(error))
    from microservo.cli.root import run  # noqa: PLC0415

    run()


def _refused(error: Unavailable) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 3
