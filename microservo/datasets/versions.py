"""What builds a dataset, by name and version."""

from __future__ import annotations

import platform
from importlib.metadata import version

_PACKAGES = ("microservo", "fastavro", "numpy", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the files depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
