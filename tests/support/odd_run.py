"""A run as odd as runs are, and the scores of it, bit for bit.

Partitions of unlike length, a service that sends late and one that comes later, a gap, features that come and
go, later revisions, windows that come twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace
from random import Random

from scored_run import ScoredRun, window

from schemas.catalogue import FEATURE_WINDOWS
from schemas.codec import encode
from schemas.records import AnomalyScore, FeatureWindow

WINDOWS = 140
PLACES = {"ads": 0, "cart": 0, "slow": 0, "frontend": 1, "late-comer": 1}
"""Partition of each service."""
BEHIND = {"slow": 2}
BEGINS = {"late-comer": 37}
GAP = range(60, 64)
"""Windows that a service lacks: nothing came of it."""
FAULT = (100, 106)

Scores = dict[tuple[str, int, int], set[tuple[bytes, str]]]
"""Of each service, window and revision the bits of its scores, and what they are of: one if all goes well."""


def window_of(service: str, number: int) -> FeatureWindow:
    """A window whose features come and go."""
    found = window(service, number, odd=service == "cart" and FAULT[0] <= number < FAULT[1])
    dice = Random(f"{service}/{number}/shape")
    values = tuple(value if dice.random() < 0.97 else float("nan") for value in found.values)
    keep = len(values) if dice.random() < 0.95 else len(values) - 1
    return replace(found, names=found.names[:keep], values=values[:keep])


def send(run: ScoredRun, numbers: range) -> None:
    """The windows that come at some instants: those of the slow one are of earlier ones."""
    with run.broker.producer() as producer:
        for at in numbers:
            for service, partition in PLACES.items():
                number = at - BEHIND.get(service, 0)
                if number < BEGINS.get(service, 0) or (service == "ads" and number in GAP):
                    continue
                first = window_of(service, number)
                revised = replace(first, revision=1, values=tuple(value + 1 for value in first.values))
                twice = (first, first) if number % 11 == 0 else (first,)
                for each in (*twice, *((revised,) if number % 7 == 0 else ())):
                    producer.send(
                        run.prefix + FEATURE_WINDOWS,
                        key=service.encode(),
                        value=encode(each),
                        headers=(("run", b"run-1"),),
                        partition=partition,
                    )
        producer.flush(30)


def bits_of(scores: Iterable[AnomalyScore]) -> Scores:
    """What was said, by what it is of."""
    found: Scores = {}
    for each in scores:
        key = each.service, each.start_us, each.revision
        found.setdefault(key, set()).add((struct.pack("<d", each.score), each.input_sha256))
    return found


def score_of(document: dict[str, object]) -> AnomalyScore:
    """The record of a line of `--answers`; what is no number in JSON was NaN."""
    fields = {**document, "score": float("nan") if document["score"] is None else document["score"]}
    return AnomalyScore(**fields)  # type: ignore[arg-type]
