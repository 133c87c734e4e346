"""The kinds of faults that come with MicroServo, one per module; each registers itself."""

from __future__ import annotations

import pkgutil


def shipped_names() -> tuple[str, ...]:
    """Names of the kinds in their order, without loading them, which takes a while: each has its module's."""
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))
