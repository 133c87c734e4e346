"""What a test does where something that it needs is not there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

EVERYTHING = "MICROSERVO_TEST_EVERYTHING"
"""Set where nothing may be skipped."""


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it where nothing may be skipped."""
    if os.environ.get(EVERYTHING):
        pytest.fail(what)
    pytest.skip(what)
