"""What an algorithm would get on the sample, as a small board."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from microservo.cli.output import print_table

if TYPE_CHECKING:
    from microservo.algorithms.trial import Trial


def print_trials(trials: Mapping[str, Trial]) -> None:
    """Prints a table with a row for each algorithm.

    Args:
        trials: by name, those of one task.
    """
    from microservo.domain.scoring import metric  # noqa: PLC0415  # loads NumPy, which most acts don't need

    names = list(next(iter(trials.values())).values)
    columns = ("on the sample", *(metric(name).title for name in names), "asked", "no answer", "CPU each")
    rows = [
        (
            spec,
            *(_number(trial.values[name]) for name in names),
            str(trial.asked),
            str(trial.not_ready),
            f"{trial.cpu_us / 1000:.2f} ms",
        )
        for spec, trial in trials.items()
    ]
    print_table(columns, rows)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
