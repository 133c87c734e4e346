"""Whether the packages beside this one are ours: their names are common, and another's may come first."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from microservo.errors import Unavailable

_BESIDE = ("schemas", "services", "streams")


def check_packages() -> None:
    """Looks where `schemas`, `services` and `streams` are imported from.

    Raises:
        Unavailable: one is missing, or another module of that name is found before it; says which path it is.
    """
    root = Path(__file__).parent.parent
    for name in _BESIDE:
        found = _location(name)
        if found is None:
            msg = f"MicroServo's package {name!r} is missing in {root}; install MicroServo again"
            raise Unavailable(msg)
        if found.resolve() != (root / name).resolve():
            msg = (
                f"{str(found)!r} shadows MicroServo's package {name!r} ({str(root / name)!r}); "
                "start Python with -P or elsewhere, or give MicroServo a virtual environment of its own"
            )
            raise Unavailable(msg)


def _location(name: str) -> Path | None:
    """The folder of the package, or the file of the module, that `import` gives."""
    # What was imported already is what counts; one made by hand may have no spec.
    module = sys.modules.get(name)
    spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations is not None:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin or name)
