"""Which windows are on which side of a split, and which are left out around faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from microservo.datasets.arrays import values_of
from microservo.datasets.formats.fault_cases import FaultCases
from microservo.datasets.formats.reading import Tables
from microservo.datasets.formats.stretches import Stretches
from microservo.domain.datasets.manifest import Manifest
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Sides:
    """The sides of a split.

    Attributes:
        left_out: no window that overlaps one of these is on a side.
        columns: what `mask` needs of windows.
    """

    left_out: Stretches
    columns: ClassVar[tuple[str, ...]] = ("start", "end", "split")

    def mask(self, windows: pa.RecordBatch, side: str) -> NDArray[np.bool_]:
        """Which windows are on a side, shape (rows,)."""
        starts, ends = (values_of(windows.column(name)) for name in ("start", "end"))
        is_on = np.array([each == side for each in windows.column("split").to_pylist()], np.bool_)
        return is_on & ~self.left_out.touch(starts, ends)


def sides_of(folder: Path, manifest: Manifest, *, warmup_us: int, cooldown_us: int) -> Sides:
    """The sides of a dataset's split.

    Raises:
        InvalidInput: no instant parts its faults in two.
    """
    cut_us = manifest.test_from_us
    if cut_us is None:
        msg = f"no instant parts the faults in {folder} in two; record more faults, with pauses between them"
        raise InvalidInput(msg)
    cases = FaultCases.of(Tables(folder))

    def left_out() -> Iterator[tuple[int, int]]:
        for begin_us in (cases.from_us, cut_us):
            yield begin_us, begin_us + warmup_us
        for case in cases.harmful:
            yield case.ended_us, case.ended_us + cooldown_us

    return Sides(Stretches.of(left_out()))
