"""A recorded run with faults of two kinds, and a classifier in plain Python that tells them apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scored_run import BEGIN_US, NAMES, SERVICES, SIZE_US, S, window

from microservo.domain.evaluation import Read
from schemas.codec import decode_as
from schemas.examples import example_bytes
from schemas.records import (
    Experiment,
    FaultEffect,
    FaultVerdict,
    FeatureWindow,
    ServiceFault,
    ServiceGraph,
)

CENTROIDS = '''
class Centroids:
    """The nearest mean of the changes, cut to what can be compared."""

    def fit(self, table, kinds):
        rows = {}
        for row, kind in zip(table, kinds):
            rows.setdefault(kind, []).append([max(-20.0, min(20.0, value)) for value in row])
        self.classes_ = sorted(rows)
        self.means = [[sum(column) / len(column) for column in zip(*rows[kind])] for kind in self.classes_]

    def predict_proba(self, table):
        return [self.of([max(-20.0, min(20.0, value)) for value in row]) for row in table]

    def of(self, row):
        away = [sum((a - b) ** 2 for a, b in zip(row, mean)) for mean in self.means]
        weights = [1 / (1 + each) for each in away]
        return [each / sum(weights) for each in weights]
'''
ALIGNED_US = BEGIN_US // SIZE_US * SIZE_US
"""The begin of the run: windows begin at whole multiples of their length."""
DECLARATION = {"object": "centroids:Centroids", "task": "classifier"}
KINDS = {20: "memory-hog", 40: "http-delay", 60: "memory-hog", 80: "http-delay"}
"""Number of the first of four windows with a fault of cart, and its kind."""
_LENGTH = 4
_CHANGES = {"memory-hog": (NAMES[1], 9.0), "http-delay": (NAMES[2], 10.0)}


def spoiled(found: FeatureWindow, kind: str) -> FeatureWindow:
    """The window as it is with a fault of a kind."""
    changed, times = _CHANGES[kind]
    values = [
        value * times if name == changed else value
        for name, value in zip(found.names, found.values, strict=True)
    ]
    return replace(found, values=tuple(values))


class TaughtRun:
    """A recording with these faults.

    Args:
        run_id: of the run.
        kinds: as `KINDS`.
    """

    def __init__(self, run_id: str = "run-before", kinds: dict[int, str] | None = None) -> None:
        self.run = Experiment(
            run_id=run_id,
            status="finished",
            seed=7,
            target="test",
            started_at_us=ALIGNED_US,
            window_us=SIZE_US,
            first_cut_us=S,
            final_cut_us=S,
            start_offsets={},
            end_offsets={},
            versions={},
        )
        self.name = run_id
        self._kinds = KINDS if kinds is None else kinds

    def windows(self) -> Iterator[tuple[FeatureWindow, int]]:
        """All windows in order of time."""
        for number in range(100):
            for service in SERVICES:
                start_us = ALIGNED_US + number * SIZE_US
                found = replace(
                    window(service, number),
                    run_id=self.run.run_id,
                    start_us=start_us,
                    end_us=start_us + SIZE_US,
                )
                for first, kind in self._kinds.items():
                    if service == "cart" and first <= number < first + _LENGTH:
                        found = spoiled(found, kind)
                yield found, 0

    def facts(self) -> Iterator[Read]:
        """The faults, their effects and that nothing more will be known of them."""
        verdict = decode_as(FaultVerdict, next(iter(example_bytes()["fault_verdict", 1].values())))
        for first, kind in self._kinds.items():
            begin_us, end_us = ALIGNED_US + first * SIZE_US, ALIGNED_US + (first + _LENGTH) * SIZE_US
            fault_id = f"f-{first}"
            yield ServiceFault(
                run_id=self.run.run_id,
                fault_id=fault_id,
                version=1,
                kind=kind,
                service="cart",
                root_service="cart",
                role="root_cause",
                hops=0,
                severity=1.0,
                requested_at_us=begin_us,
                relation="root",
                applied_at_us=begin_us,
                recovered_at_us=end_us,
            )
            yield FaultEffect(
                run_id=self.run.run_id,
                fault_id=fault_id,
                service="cart",
                version=1,
                root_service="cart",
                relation="root",
                finding="visible",
                starts_us=(begin_us + S,),
                ends_us=(end_us,),
                is_open=False,
                through_us=end_us,
                is_final=True,
            )
            yield replace(verdict, run_id=self.run.run_id, fault_id=fault_id, is_final=True)

    def graphs(self) -> Iterator[ServiceGraph]:
        """Nobody called anybody."""
        return iter(())
