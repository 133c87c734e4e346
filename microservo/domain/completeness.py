"""How complete the minutes of a past range are, and runs of minutes that are alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from schemas.records import CollectedMinute

MINUTE_US = 60_000_000
Standing = Literal["complete", "partial", "empty"]
"""All that was due is there; less is, or a query could not be answered; nothing was due and nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Minutes of one source that follow one another and stand alike; numbers are of all of them.

    Attributes:
        start_us: microseconds UTC.
        end_us: as above.
        left_out: queries that could not be answered in at least one of them.
    """

    source: str
    standing: Standing
    start_us: int
    end_us: int
    due: int
    held: int
    metrics: int
    logs: int
    spans: int
    refused: int
    left_out: tuple[str, ...]


def standing_of(minute: CollectedMinute) -> Standing:
    """How complete a minute is."""
    if minute.left_out or minute.held < minute.due:
        return "partial"
    # A store may know nothing of scrapes and hold samples all the same.
    return "complete" if minute.due or minute.metrics + minute.logs + minute.spans else "empty"


def stretches(minutes: Iterable[CollectedMinute]) -> list[Stretch]:
    """All minutes, those joined that follow one another and stand alike; by source, in order of time."""
    found: list[Stretch] = []
    ordered = sorted(minutes, key=lambda minute: (minute.source, minute.start_us))
    for _, together in groupby(ordered, key=lambda minute: minute.source):
        for number, minute in enumerate(together):
            one = _stretch(minute)
            if number and found[-1].end_us == one.start_us and found[-1].standing == one.standing:
                found[-1] = _joined(found[-1], one)
            else:
                found.append(one)
    return found


def _stretch(minute: CollectedMinute) -> Stretch:
    return Stretch(
        source=minute.source,
        standing=standing_of(minute),
        start_us=minute.start_us,
        end_us=minute.start_us + MINUTE_US,
        due=minute.due,
        held=minute.held,
        metrics=minute.metrics,
        logs=minute.logs,
        spans=minute.spans,
        refused=minute.refused,
        left_out=minute.left_out,
    )


def _joined(one: Stretch, other: Stretch) -> Stretch:
    return replace(
        one,
        end_us=other.end_us,
        due=one.due + other.due,
        held=one.held + other.held,
        metrics=one.metrics + other.metrics,
        logs=one.logs + other.logs,
        spans=one.spans + other.spans,
        refused=one.refused + other.refused,
        left_out=tuple(dict.fromkeys((*one.left_out, *other.left_out))),
    )
