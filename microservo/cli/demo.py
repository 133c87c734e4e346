"""`microservo demo`: the scripted run, from nothing to a dataset."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from microservo.application.datasets import CheckFolder
from microservo.cli.board import print_board
from microservo.cli.fault_rows import FAULT_COLUMNS, fault_row
from microservo.cli.output import Cell, console, print_line, print_table
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.signals import handled_signals
from microservo.cli.sun import FOLLOW_THE_SUN, refuse_options_of_faults, sun
from microservo.cli.system_options import chosen_name, options_of, system_options
from microservo.cli.text import styled
from microservo.cli.times import after
from microservo.domain.twin import TwinRow
from microservo.errors import MicroServoError
from microservo.system import EmbeddedSystem
from microservo.system.demo import (
    ALARMS_PER_HOUR,
    ALGORITHMS,
    ALGORITHMS_TIMEOUT_S,
    FAULT_FREE_S,
    Demo,
    DemoResult,
    plan_of,
)
from microservo.system.follow_the_sun import TOPOLOGY
from microservo.system.said import Said
from microservo.system.twin import Twin, TwinResult, keep_twin

_DATASETS = Path("datasets")
"""Gets a folder per run where none is named."""


@click.command()
@click.option(
    "--scenario",
    type=click.Choice(["faults", FOLLOW_THE_SUN]),
    default="faults",
    show_default=True,
    help="What is shown.",
)
@click.option("--faults", type=click.IntRange(min=1, max=100), default=6, show_default=True, help="How many.")
@click.option(
    "--out",
    "out_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the dataset; ./datasets/RUN by default.",
)
@click.option(
    "--twin",
    "with_twin",
    is_flag=True,
    help="Then run the same load without faults, and show what each fault changed beside it.",
)
@click.option(
    "--balanced",
    "is_balanced",
    is_flag=True,
    help="Short faults where their callers suffer, long ones where not, so that no service is anomalous "
    "much more often than others.",
)
@click.option("--name", help="Name of the system that is started; 'demo' by default.")
@system_options
@pass_session
def demo(
    session: Session,
    *,
    scenario: str,
    faults: int,
    out_dir: Path | None,
    with_twin: bool,
    is_balanced: bool,
    name: str | None,
    seed: int,
    journeys_per_s: float,
    partitions: int,
    topology: str,
) -> None:
    """Start a system, break it several times, have algorithms score it, and make a labelled dataset of it.

    Takes about half a minute for each fault, a little more if balanced, and five minutes around them; the
    first time, also what it takes to fetch the broker, and the environment of one of the algorithms.
    Everything is stopped at the end, or with Ctrl-C at any time.

    A twin takes as long again, and no more memory: it runs when the faults are over, so that each has the
    machine to itself. Its requests have the same trace ids, so it is compared record by record. For each
    fault and service the first record that deviates stands beside what the effect observer saw; twin.parquet
    in the dataset has the same.

    The scenario follow-the-sun takes some three minutes and has no faults: hosts in three regions on this
    machine, with the distance between them; users move from Europe to Asia, and the manager's rule moves the
    services after them. Of the options it takes --out, --name, --seed, --journeys-per-s and --partitions.

    \b
    Examples:
      microservo demo
      microservo demo --faults 4 --twin
      microservo demo --seed 11 --faults 12 --out ./twelve-faults
      microservo demo --faults 40 --balanced
      microservo demo --scenario follow-the-sun
    """
    if scenario == FOLLOW_THE_SUN:
        refuse_options_of_faults()
        session.execute(CheckFolder(out_dir=out_dir or Path(FOLLOW_THE_SUN) / "run"))
        sun(
            options_of(
                session,
                name=chosen_name(name, session.system, FOLLOW_THE_SUN),
                seed=seed,
                journeys_per_s=journeys_per_s,
                partitions=partitions,
                topology=str(TOPOLOGY),
            ),
            out_dir,
        )
        return
    session.execute(CheckFolder(out_dir=out_dir or _DATASETS / "run"))
    options = options_of(
        session,
        name=chosen_name(name, session.system, "demo"),
        seed=seed,
        journeys_per_s=journeys_per_s,
        partitions=partitions,
        topology=topology,
        algorithms=ALGORITHMS,
        algorithms_timeout_s=ALGORITHMS_TIMEOUT_S,
        fault_free_s=FAULT_FREE_S,
        alarms_per_hour=ALARMS_PER_HOUR,
    )
    progress = TerminalProgress(console())
    system = EmbeddedSystem(options, progress)
    started = [system]
    compared: TwinResult | None = None
    with handled_signals(lambda: _kill(started)), system:
        system.start()
        out = out_dir or _DATASETS / system.run_id
        plan = plan_of(options, faults, is_balanced=is_balanced)
        result = Demo(system, progress, plan=plan, out_dir=out).run()
        if with_twin:
            twin = Twin(system, progress)
            started.append(twin.system)
            compared = twin.run(result.faults)
            keep_twin(result.out_dir, compared)
    print_table(FAULT_COLUMNS, [fault_row(event) for event in result.faults], lines=False)
    if compared is not None:
        print_table(_TWIN_COLUMNS, map(_twin_row, compared.rows), lines=False)
        print_line(f"twin      {compared.run_id}")
    for board in result.boards:
        print_board(board)
    print_line(f"alarms    faults met: {_said_in_a_line(result.said)}")
    print_line(f"dataset   {result.out_dir}")
    print_line(f"report    {result.out_dir / 'report.html'}")
    print_line(f"content   {result.content_hash}")
    _refuse_failure(result)


def _said_in_a_line(said: Said) -> str:
    """How many faults the alarms of each detector met, for example "n-sigma 5 of 6 (2 false alarms)"."""
    found = (
        f"{each.algorithm} {each.found} of {said.faults} ({each.false_alarms} false)"
        for each in said.detectors
    )
    return ", ".join(found)


_TWIN_COLUMNS = ("fault", "on", "first deviating record", "seen", "apart", "deviating")


def _twin_row(row: TwinRow) -> Sequence[Cell]:
    """What a fault changed on a service, and how far from it the observer saw the effect begin."""
    effect, seen_us = row.effect, row.effect_seen_at_us
    first_us = effect.first_us
    apart = "-" if first_us is None or seen_us is None else f"{(seen_us - first_us) / 1000:+.0f} ms"
    return (
        (effect.kind, styled(effect.root_service, dim=True)),
        effect.service,
        (after(first_us, effect.applied_us), styled(effect.what, dim=True)),
        after(seen_us, effect.applied_us),
        apart,
        f"{effect.deviating} of {effect.pairs}",
    )


def _kill(started: Sequence[EmbeddedSystem]) -> None:
    # The twin is on the broker of the first.
    for system in reversed(started):
        system.kill()


def _refuse_failure(result: DemoResult) -> None:
    broken = [event for event in result.faults if event.state not in ("recovered", "stopped")]
    troubles = [*(f"{event.fault_id} is {event.state}" for event in broken), *result.problems]
    if troubles:
        msg = "; ".join(troubles)
        raise MicroServoError(msg)
