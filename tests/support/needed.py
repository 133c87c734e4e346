"""What tests need beside the project: where it is kept, and what they do where it is not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

EVERYTHING = "MICROSERVO_TEST_EVERYTHING"
"""Set where nothing may be skipped."""


def cache() -> Path:
    """The folder of the user in which what was built stays."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "microservo"


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it where nothing may be skipped."""
    if os.environ.get(EVERYTHING):
        pytest.fail(what)
    pytest.skip(what)
