"""Runs the package that this file is in, wherever it is mounted: `python -I FOLDER`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

_NAME = "microservo_fenced"


def main() -> int:
    """Imports the package under a name that no plug-in has, and serves until standard input ends."""
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = package
    spec.loader.exec_module(package)
    # Python put the folder here to find this file: our modules must not stand in for a plug-in's own.
    sys.path[:] = [each for each in sys.path if Path(each or ".").resolve() != folder]
    code: int = importlib.import_module(f"{_NAME}.serving").main()
    return code


if __name__ == "__main__":
    sys.exit(main())
