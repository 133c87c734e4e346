from __future__ import annotations

import pytest
from recorded_progress import RecordedProgress


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()
