"""How often Python looks for garbage in cycles while a dataset is made, of which there is next to none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 1_000_000
"""New objects between two looks; each look costs the more the more there is."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Has garbage looked for seldom until the end of the block; what was there before is not looked at."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
