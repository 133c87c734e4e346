"""Who is better than whom on a metric, and medals over scenarios.

Controls (random, always, never, constant per service) stand in every row, so that one sees who is no better
than they are. They get no medal, and neither does who is not better than the best of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from microservo.domain.scoring.bootstrap import Interval
from microservo.domain.scoring.catalogue import metric
from microservo.errors import InvalidInput

Medal = Literal["gold", "silver", "bronze"]

_MEDALS: Mapping[int, Medal] = {1: "gold", 2: "silver", 3: "bronze"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An algorithm on a board.

    Attributes:
        algorithm: its name, unique on the board.
        is_control: whether it knows nothing, on purpose.
        values: by name of the metric.
        intervals: likewise, where there are any.
    """

    algorithm: str
    is_control: bool = False
    values: Mapping[str, float]
    intervals: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The place of an algorithm on one metric.

    Attributes:
        algorithm: its name.
        is_control: whether it is a control.
        value: NaN where the metric is not defined for it.
        rank: 1 is the best; equal values share a rank, and the next one is left out. None without a value.
        medal: by its rank among those that are no controls; None for who is not better than every control.
    """

    algorithm: str
    is_control: bool
    value: float
    rank: int | None
    medal: Medal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Medals of an algorithm over scenarios."""

    algorithm: str
    gold: int
    silver: int
    bronze: int


def standings(rows: Sequence[Row], name: str) -> list[Standing]:
    """The rows by their rank on a metric, then by name; those without a value last.

    Raises:
        InvalidInput: there is no such metric, or two rows are of one algorithm.
    """
    _refuse_twice(rows)
    sign = 1.0 if metric(name).direction == "lower" else -1.0
    costs = {row.algorithm: sign * row.values[name] for row in rows if _has_value(row, name)}
    best_control = min(
        (costs[row.algorithm] for row in rows if row.is_control and row.algorithm in costs), default=None
    )
    serious = [costs[row.algorithm] for row in rows if not row.is_control and row.algorithm in costs]
    found = []
    for row in rows:
        cost = costs.get(row.algorithm)
        rank = None if cost is None else 1 + sum(other < cost for other in costs.values())
        is_better = cost is not None and (best_control is None or cost < best_control)
        place = 1 + sum(other < cost for other in serious) if cost is not None else 0
        found.append(
            Standing(
                algorithm=row.algorithm,
                is_control=row.is_control,
                value=row.values.get(name, float("nan")),
                rank=rank,
                medal=_MEDALS.get(place) if is_better and not row.is_control else None,
            )
        )
    return sorted(found, key=lambda each: (each.rank is None, each.rank or 0, each.algorithm))


def medal_tally(scenarios: Sequence[Sequence[Row]], names: Sequence[str]) -> list[Tally]:
    """Medals over all scenarios and metrics, most gold first, then silver, bronze and name.

    Args:
        scenarios: the rows of each.
        names: of headline metrics; others can be won by who knows nothing.

    Raises:
        InvalidInput: a metric is unknown or no headline.
    """
    for name in names:
        if not metric(name).is_headline:
            msg = f"{name!r} gives no medals: who knows nothing may win it; expected a headline metric"
            raise InvalidInput(msg)
    won: dict[str, dict[Medal, int]] = {}
    for rows in scenarios:
        for name in names:
            for each in standings(rows, name):
                own = won.setdefault(each.algorithm, {"gold": 0, "silver": 0, "bronze": 0})
                if each.medal is not None:
                    own[each.medal] += 1
    controls = {row.algorithm for rows in scenarios for row in rows if row.is_control}
    tallies = [
        Tally(algorithm=name, gold=own["gold"], silver=own["silver"], bronze=own["bronze"])
        for name, own in won.items()
        if name not in controls
    ]
    return sorted(tallies, key=lambda each: (-each.gold, -each.silver, -each.bronze, each.algorithm))


def _has_value(row: Row, name: str) -> bool:
    value = row.values.get(name, float("nan"))
    return value == value  # noqa: PLR0124 -- NaN is unlike itself


def _refuse_twice(rows: Sequence[Row]) -> None:
    names = [row.algorithm for row in rows]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        msg = f"more than one row of {', '.join(map(repr, twice))}; expected one for each algorithm"
        raise InvalidInput(msg)
