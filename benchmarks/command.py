"""The command line of a benchmark: measures, prints the table, and writes it to a folder with `--out`."""

from __future__ import annotations

import os
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console

from benchmarks.facts import machine_facts, time_fact
from benchmarks.figures import Figure, show, write
from microservo.cli.signals import handled_signals

Measure = Callable[[Path, Namespace], Iterable[Figure]]
"""Gets a folder, which goes when it returns, and what was given on the command line."""


def run(parser: ArgumentParser, measure: Measure, *, name: str, title: str) -> int:
    """Does what the command line says, and returns the exit code.

    Args:
        parser: of the command line, but for `--out`.
        measure: finds the figures.
        name: of the files.
        title: of the table.
    """
    parser.add_argument("--out", type=Path, help="folder to write to, e.g. benchmarks/results")
    given = parser.parse_args()
    started_s, load_before = time.monotonic(), os.getloadavg()[0]
    # What it has started is ended in order too where it is told to stop, or runs without a terminal.
    with handled_signals(lambda: None), tempfile.TemporaryDirectory() as folder:
        # The user of a fence reads what lies in it.
        Path(folder).chmod(0o755)
        found = list(measure(Path(folder), given))
    show(found, Console(), title=title)
    if given.out is not None:
        facts = [time_fact(time.monotonic() - started_s, load_before), *machine_facts()]
        write(found, facts, given.out, name=name, title=title)
    return 0
