"""A case: the telemetry of all services up to an alarm, as rankers and classifiers take it.

Tables are RCAEval's: a column `time` in seconds, and a column `<service>_<feature>` for each feature. They
are pandas frames where pandas is there, else dicts of lists, so that an algorithm need not require it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import copysign, isfinite, log1p
from statistics import median, quantiles
from typing import Any

from .frames import floats
from .inputs import Counts

Column = list[float]
_MAD_TO_SIGMA = 1.4826
_SMALLEST_SHARE = 0.05
"""Of its own size that a feature may always move: one that never did would explode."""
_SMALLEST = 1e-9
_LARGEST_DEVIATION = 1e3


@dataclass
class Case:
    """What was seen until an alarm.

    Attributes:
        alarm_s: the start of the first window that the alarm is about, epoch seconds.
        times_s: starts of the windows, epoch seconds.
        columns: service to feature to values, one for each window; NaN where undefined or missing.
        graph: who calls whom.
    """

    alarm_s: float
    times_s: Column
    columns: dict[str, dict[str, Column]]
    graph: list[tuple[str, str]]
    counts: Counts = field(default_factory=Counts)

    @classmethod
    def decode(cls, header: Mapping[str, Any], body: bytes) -> Case:
        """The case of a frame: window starts, then each service's columns, one after another."""
        values, windows = floats(body), int(header["windows"])
        columns: dict[str, dict[str, Column]] = {}
        begin = windows
        for service, names in header["services"]:
            columns[service] = {}
            for name in names:
                columns[service][name] = values[begin : begin + windows]
                begin += windows
        graph = [(caller, callee) for caller, callee in header["graph"]]
        return cls(float(header["alarm_s"]), values[:windows], columns, graph)

    def complete(self) -> None:
        """Replaces what is undefined by the value before, or the first after; leaves out what never came."""
        for columns in self.columns.values():
            for name in list(columns):
                values = columns[name]
                undefined = sum(not isfinite(value) for value in values)
                if undefined == len(values):
                    del columns[name]
                elif undefined:
                    columns[name] = _filled(values)
                self.counts.undefined += undefined

    def table(self, is_wanted: Callable[[str], bool]) -> Any:
        """`time` and the columns of features that are wanted: a pandas frame, or a dict of lists."""
        data: dict[str, Any] = {"time": list(self.times_s)}
        for service, columns in self.columns.items():
            data.update(
                {f"{service}_{name}": list(values) for name, values in columns.items() if is_wanted(name)}
            )
        pandas = load_tables()
        return data if pandas is None else pandas.DataFrame(data)

    def deviations(self) -> dict[str, dict[str, float]]:
        """Of each service and feature, how far it is from before the alarm since then, in robust sigmas.

        That is the change of its median over what it usually moves: 1.4826 times the median distance from the
        median before, at least a twentieth of its size. Negative where it fell; within -1000 and 1000.
        """
        return self._compared(_deviation)

    def log_deviations(self) -> dict[str, dict[str, float]]:
        """The same of values as log(1 + |value|) with their sign, which may always move by a twentieth.

        Not bounded: what is ten times as large is told from what is twice as large, also where it was 0.
        """
        return self._compared(_log_deviation)

    def peaks(self) -> dict[str, dict[str, float]]:
        """The largest value since the alarm above the median before, in interquartile ranges before.

        Of what did not move before, in its own unit. Not bounded; negative where all are below.
        """
        return self._compared(_peak)

    def _compared(self, compare: Callable[[Column, Column], float]) -> dict[str, dict[str, float]]:
        """Compares the defined values before the alarm with those since; 0 where there are not both."""
        since = next(
            (at for at, time_s in enumerate(self.times_s) if time_s >= self.alarm_s), len(self.times_s)
        )
        return {
            service: {
                name: _of_defined(compare, values[:since], values[since:]) for name, values in columns.items()
            }
            for service, columns in self.columns.items()
        }


def load_tables() -> Any:
    """pandas, imported once; None where the environment has it not."""
    if importlib.util.find_spec("pandas") is None:
        return None
    return importlib.import_module("pandas")


def _filled(values: Sequence[float]) -> Column:
    newest = next(value for value in values if isfinite(value))
    filled = []
    for value in values:
        newest = value if isfinite(value) else newest
        filled.append(newest)
    return filled


def _of_defined(compare: Callable[[Column, Column], float], before: Column, since: Column) -> float:
    past, now = ([value for value in values if isfinite(value)] for values in (before, since))
    return compare(past, now) if past and now else 0.0


def _deviation(past: Column, now: Column) -> float:
    usual, found = median(past), median(now)
    size = max(_spread(past, usual), _SMALLEST_SHARE * max(abs(usual), abs(found)), _SMALLEST)
    return max(-_LARGEST_DEVIATION, min(_LARGEST_DEVIATION, (found - usual) / size))


def _log_deviation(past: Column, now: Column) -> float:
    past, now = ([copysign(log1p(abs(value)), value) for value in values] for values in (past, now))
    usual = median(past)
    return (median(now) - usual) / max(_spread(past, usual), _SMALLEST_SHARE)


def _peak(past: Column, now: Column) -> float:
    low, usual, high = quantiles(past, n=4, method="inclusive") if len(past) > 1 else 3 * past
    return (max(now) - usual) / ((high - low) or 1.0)


def _spread(values: Column, usual: float) -> float:
    return _MAD_TO_SIGMA * median(abs(value - usual) for value in values)
