"""`microservo board`: who is better than whom, and by what."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from microservo.application.board import (
    ALL_SCENARIOS,
    BOARD_FORMATS,
    BoardFormat,
    CompareAlgorithms,
    CountMedals,
    ExportBoard,
    ShowBoard,
)
from microservo.application.runs import LATEST_RUN
from microservo.cli.board_tasks import tasks
from microservo.cli.breakdowns import By, print_breakdown
from microservo.cli.completions import complete_deployed, complete_metric
from microservo.cli.output import Cell, print_document, print_line, print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.text import Styled, styled

if TYPE_CHECKING:
    from microservo.domain.evaluation.board import Board, BoardRow
    from microservo.domain.scoring import Interval
    from schemas.records import Evaluation

F = TypeVar("F", bound=Callable[..., object])

_MEDALS = {"gold": "yellow", "silver": "white", "bronze": "red"}
_HASH = 8


def _scenario(default: str) -> Callable[[F], F]:
    return click.option(
        "--scenario",
        default=default,
        show_default=True,
        metavar="NAME",
        help="A run or dataset, one task of it as RUN/detector, 'latest', or 'all'.",
    )


_metrics = click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_metric,
    help="Shown instead of the usual ones; repeat.",
)
_files = click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Evaluations of `algorithm evaluate --json` instead of those on the broker; repeat.",
)


@click.group()
def board() -> None:
    """See who is better than whom, and by what; controls that know nothing stand beside all others.

    \b
    Examples:
      microservo board show
      microservo board compare n-sigma random
      microservo board export --format html --out board.html
      microservo board medals
      microservo board tasks list
    """


board.add_command(tasks)


@board.command()
@_scenario(LATEST_RUN)
@_metrics
@_files
@click.option(
    "--by",
    type=click.Choice(["kind", "severity", "service", "detector", "answer"]),
    help="The first metric by parts of the faults, or by whose alarms a ranker was told; by answer: what "
    "each kind of fault was taken for.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON, one evaluation per line.")
@pass_session
def show(
    session: Session,
    *,
    scenario: str,
    metrics: tuple[str, ...],
    files: tuple[Path, ...],
    by: By | None,
    as_json: bool,
) -> None:
    """Show the board of a scenario, ranked by its first metric.

    \b
    Examples:
      microservo board show
      microservo board show --by kind --metric event_recall
      microservo board show --scenario all --metric vus_pr --metric delay_from_apply_p50_s
      microservo board show --json | jq -r .algorithm
    """
    found = session.execute(ShowBoard(scenario=scenario, metrics=metrics, files=files))
    for each in found:
        if as_json:
            for row in each.rows:
                print_document(row.evaluation)
        elif by is not None:
            print_breakdown(each, by)
        else:
            print_board(each)


@board.command()
@click.argument("first", metavar="A", shell_complete=complete_deployed)
@click.argument("second", metavar="B", shell_complete=complete_deployed)
@_scenario(LATEST_RUN)
@_metrics
@_files
@pass_session
def compare(
    session: Session,
    first: str,
    second: str,
    *,
    scenario: str,
    metrics: tuple[str, ...],
    files: tuple[Path, ...],
) -> None:
    """Compare the algorithms A and B metric by metric.

    A difference is clear where their 95 % intervals don't touch.

    \b
    Examples:
      microservo board compare n-sigma half-space-trees
      microservo board compare mine@1 mine@2 --metric auc_pr
    """
    command = CompareAlgorithms(first=first, second=second, scenario=scenario, metrics=metrics, files=files)
    rows: list[Sequence[Cell]] = []
    for each in session.execute(command):
        (one, other), (one_ends, other_ends) = each.values, each.intervals
        better: Cell = "-"
        if each.better is not None:
            better = styled(each.better, bold=each.is_clear)
        clear = ("clear" if each.is_clear else "within chance") if one_ends and each.better else ""
        title = styled(each.metric.title, bold=each.metric.is_headline)
        rows.append((title, _value(one, one_ends), _value(other, other_ends), better, clear))
    print_table(("metric", first, second, "better", "difference"), rows)


@board.command()
@_scenario(ALL_SCENARIOS)
@_files
@pass_session
def medals(session: Session, *, scenario: str, files: tuple[Path, ...]) -> None:
    """Count medals over scenarios: one for each headline metric, none for who is not above all controls.

    \b
    Examples:
      microservo board medals
    """
    found = session.execute(CountMedals(scenario=scenario, files=files))
    rows = [(each.algorithm, str(each.gold), str(each.silver), str(each.bronze)) for each in found]
    print_table(("algorithm", "gold", "silver", "bronze"), rows)


@board.command()
@click.option(
    "--format", "format_", type=click.Choice(BOARD_FORMATS), required=True, help="What kind of file."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; standard output by default.",
)
@_scenario(LATEST_RUN)
@_metrics
@_files
@pass_session
def export(
    session: Session,
    *,
    format_: BoardFormat,
    out: Path | None,
    scenario: str,
    metrics: tuple[str, ...],
    files: tuple[Path, ...],
) -> None:
    """Write the board as CSV, JSON, or one page of HTML with plots that needs nothing but itself.

    \b
    Examples:
      microservo board export --format html --out board.html
      microservo board export --format csv --scenario all > board.csv
    """
    text = session.execute(ExportBoard(format=format_, scenario=scenario, metrics=metrics, files=files))
    if out is None:
        sys.stdout.write(text)
        return
    out.write_text(text, "utf-8")
    print_line(str(out))


def print_board(found: Board) -> None:
    """Prints a board as a table, and below it what chance gets."""
    state = "final" if found.is_final else "not final: the run goes on, intervals come at its end"
    revision = max(row.evaluation.label_revision for row in found.rows)
    print_line(
        styled(found.scenario, bold=True), f" - {found.counted}, labels up to revision {revision}, {state}"
    )
    if not found.has_one_truth:
        print_line(styled("some rows were held against newer labels than others", fg="yellow"))
    titles = [f"{each.title} *" if each.is_headline else each.title for each in found.metrics]
    columns = ("#", "algorithm", *titles, "CPU, p99", "memory", "fence", "input, labels")
    print_table(columns, [_row(found, row) for row in found.rows])
    chance = "; ".join(f"{each.title}: {each.of_random}" for each in found.metrics if each.of_random)
    print_line(styled(f"By chance - {chance}.", dim=True))
    print_line(
        styled(
            "* can't be won by who knows nothing. All are judged on the same windows, behind the declared "
            "warm-up; a window without a score counts as not flagged, a masked one for nobody.",
            dim=True,
        )
    )


def print_evaluation(found: Evaluation) -> None:
    """Prints all metrics of one algorithm, each with its interval and what chance gets."""
    from microservo.domain.scoring import METRICS, Interval  # noqa: PLC0415  # loads NumPy

    by_name = {
        name: (value, None if low != low else Interval(low, high))  # noqa: PLR0124 -- NaN
        for name, value, low, high in zip(found.metrics, found.values, found.lows, found.highs, strict=True)
    }
    counted = f"{found.windows:,} windows, {found.scored:,} scored, " if found.windows else ""
    print_line(
        styled(f"{found.algorithm}@{found.algorithm_version}", bold=True),
        f" on {found.scenario}: {counted}{found.cases} cases",
    )
    if not found.windows and not found.cases:
        print_line(
            "nothing was judged: no final window and no known fault lies behind the run's fault-free time "
            "(and behind `--from`) yet"
        )
        return
    rows = [
        (styled(each.title, bold=each.is_headline), *_wide(*by_name[name]), each.of_random or "-")
        for name, each in METRICS.items()
        if name in by_name
    ]
    print_table(("metric", "value", "95 %", "by chance"), rows)
    print_line(styled(f"input {found.input_sha256}, labels {found.labels_sha256}", dim=True))


def _wide(value: float, interval: Interval | None) -> tuple[str, str]:
    text = f"{value:.4g}" if isfinite(value) else "-"
    return text, "" if interval is None else f"{interval.low:.3g} to {interval.high:.3g}"


def _row(found: Board, row: BoardRow) -> Sequence[Cell]:
    known = row.evaluation
    rank = "-" if row.rank is None else str(row.rank)
    cpu_us = row.cpu_us_per_window
    name: Styled | str = styled(row.name, bold=row.medal is not None)
    return (
        styled(rank, fg=_MEDALS[row.medal]) if row.medal else rank,
        (name, styled("control", dim=True)) if known.is_control else name,
        *(_value(row.values[each.name], row.intervals.get(each.name)) for each in found.metrics),
        (
            "-" if cpu_us is None else f"{cpu_us / 1000:.2f} ms",
            "-" if known.latency_p99_us is None else f"{known.latency_p99_us / 1000:.0f} ms",
        ),
        f"{known.peak_memory_bytes / 2**20:.0f} MiB",
        "yes" if known.is_fenced else styled("none", fg="red"),
        (known.input_sha256[:_HASH], f"{known.labels_sha256[:_HASH]} r{known.label_revision}"),
    )


def _value(value: float, interval: Interval | None) -> Cell:
    text = f"{value:.3g}" if isfinite(value) else "-"
    if interval is None:
        return text
    return text, styled(f"{interval.low:.2g}..{interval.high:.2g}", dim=True)
