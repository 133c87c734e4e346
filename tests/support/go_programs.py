"""Programs that are built of Go modules, by name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from needed import missing

BUILD_S = 3600


def go(argv: list[str], folder: Path, variables: dict[str, str], what: str) -> None:
    """Runs Go in a folder; skips the test where that can't be done, which needs `what`."""
    beside = Path(sys.executable).parent
    # That beside is the version of constraints.txt; another one on the path may be too old.
    found = shutil.which("go", path=str(beside)) or shutil.which("go")
    if found is None:
        missing(f"Go 1.26 or later is not installed, which builds {what}")
    done = subprocess.run(
        [found, *argv],
        cwd=folder,
        env={**os.environ, "CGO_ENABLED": "0", **variables},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    if done.returncode:
        missing(f"Go could not build {what}: {done.stderr[-2000:]}")
