"""`client.board`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microservo.application.board import (
    ALL_SCENARIOS,
    BoardFormat,
    CompareAlgorithms,
    CountMedals,
    ExportBoard,
    ShowBoard,
)
from microservo.application.command import Context
from microservo.application.runs import LATEST_RUN
from microservo.application.table import execute

if TYPE_CHECKING:
    from microservo.domain.evaluation.board import Board, Difference
    from microservo.domain.scoring import Tally


class Boards:
    """See who is better than whom, compare two algorithms, count medals, export."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def show(self, scenario: str = LATEST_RUN, *, metrics: tuple[str, ...] = ()) -> tuple[Board, ...]:
        """The boards of a scenario: detectors before rankers and classifiers, the best first.

        Args:
            scenario: a run, one task of it as in "run-1/detector", "latest", or "all".
            metrics: shown instead of the usual ones; the first ranks.

        Raises:
            InvalidInput: there is no such scenario or metric.
        """
        return execute(ShowBoard(scenario=scenario, metrics=metrics), self._context)

    def compare(
        self, first: str, second: str, scenario: str = LATEST_RUN, *, metrics: tuple[str, ...] = ()
    ) -> tuple[Difference, ...]:
        """Two algorithms metric by metric; arguments and errors as of `show`."""
        return execute(
            CompareAlgorithms(first=first, second=second, scenario=scenario, metrics=metrics), self._context
        )

    def medals(self, scenario: str = ALL_SCENARIOS) -> tuple[Tally, ...]:
        """Who is best how often over scenarios, the best first."""
        return execute(CountMedals(scenario=scenario), self._context)

    def export(
        self, format: BoardFormat, scenario: str = LATEST_RUN, *, metrics: tuple[str, ...] = ()
    ) -> str:
        """The text of a file; of html it is one page that needs nothing but itself."""
        return execute(ExportBoard(format=format, scenario=scenario, metrics=metrics), self._context)
