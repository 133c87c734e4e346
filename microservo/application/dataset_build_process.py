"""The process that builds a dataset in the background: `dataset_build_process FOLDER NAME`.

It finds the broker by its environment, and what to build in the file that says how far the building is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from microservo.application.command import Context
from microservo.application.connection import connect
from microservo.application.dataset_shelf import build_in_folder
from microservo.datasets.shelf import Shelf
from microservo.errors import MicroServoError

_WAIT_S = 30.0
"""For whoever started it to have said so."""


def main(arguments: Sequence[str]) -> int:
    """Builds it; what went wrong is in the file, and in the log."""
    folder, name = Path(arguments[0]), arguments[1]
    try:
        found = Shelf(folder).build(name)
        if found is None:
            sys.stderr.write(f"error: nobody asked for {name!r} in {folder}\n")
            return 2
        build_in_folder(folder, name, found.request, Context(connect), wait_s=_WAIT_S)
    except MicroServoError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
