"""Datasets: rebuilt, verified, reported, exported. `microservo.domain.datasets` says what they mean."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from microservo.datasets.formats.exporting import export
    from microservo.datasets.live import verify_against_live
    from microservo.datasets.rebuilding import rebuild
    from microservo.datasets.verifying import content_hash, read_manifest, verify
    from microservo.log.runs import find_run, runs

__all__ = [
    "content_hash",
    "export",
    "find_run",
    "read_manifest",
    "rebuild",
    "runs",
    "verify",
    "verify_against_live",
]

_MODULES = {
    "content_hash": "microservo.datasets.verifying",
    "export": "microservo.datasets.formats.exporting",
    "find_run": "microservo.log.runs",
    "read_manifest": "microservo.datasets.verifying",
    "rebuild": "microservo.datasets.rebuilding",
    "runs": "microservo.log.runs",
    "verify": "microservo.datasets.verifying",
    "verify_against_live": "microservo.datasets.live",
}


def __getattr__(name: str) -> Any:
    """The public names, loaded when first used: a worker imports none of what makes reports or verifies."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
