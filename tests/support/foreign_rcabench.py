"""Has the platform of RCABench check a datapack and read its truth; prints JSON.

::

    python foreign_rcabench.py DATAPACK
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    """Prints whether it is valid, and which services are at the bottom of the fault."""
    from rcabench_platform.v3.sdk.datasets.rcabench import get_service_names, valid  # noqa: PLC0415

    folder = Path(sys.argv[1])
    _, is_valid = valid(folder)
    injection = json.loads((folder / "injection.json").read_text("utf-8"))
    json.dump({"is_valid": is_valid, "services": get_service_names(injection)}, sys.stdout)


if __name__ == "__main__":
    main()
