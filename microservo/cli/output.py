"""Writing to people: lines, tables, complaints. All that commands print goes through here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.box import HEAVY_HEAD, SIMPLE
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from microservo.application.documents import to_json
from microservo.cli.text import Part, Styled, encodable, rendered, styled
from microservo.domain.text import printable

_UNBROKEN_WIDTH = 1_000_000
"""Columns of a table that no terminal shows: what is piped is searched by lines, so no row may be broken."""

Cell = Part | Sequence[Part]
"""A cell of a table; of several parts each has a line of its own on a terminal."""


def print_line(*parts: Part) -> None:
    """Prints one line."""
    print(rendered(parts, colours=_shows_colours(sys.stdout)), flush=True)


def print_document(value: object) -> None:
    """Prints a value as one line of JSON."""
    print(to_json(value), flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, lines: bool = True) -> None:
    """Prints a table, as wide as the terminal; where there is none, so wide that no cell is broken.

    Args:
        columns: their titles.
        rows: their cells.
        lines: whether lines are drawn around it.
    """
    screen = console()
    box = HEAVY_HEAD if lines else SIMPLE
    table = Table(*(Column(title, overflow="fold") for title in columns), box=box)
    for row in rows:
        table.add_row(*(_cell(cell, screen) for cell in row))
    screen.print(table)


def print_error(message: str, *, lines: bool = False) -> None:
    """Prints an error on standard error, in one line unless it may have several."""
    first, *more = message.split("\n") if lines else [message]
    colours = _shows_colours(sys.stderr)
    print(rendered((styled("error:", fg="red", bold=True), " ", first), colours=colours), file=sys.stderr)
    for each in more:
        # Set in, so that no line of a log passes for one of ours.
        print(f"  {printable(each)}", file=sys.stderr)


def console(*, stderr: bool = False) -> Console:
    """A console for tables and progress; colours only on a terminal and without NO_COLOR."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNBROKEN_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def safe_text(part: Part, encoding: str = "utf-8") -> Text:
    """What rich draws for a part."""
    if isinstance(part, str):
        return Text(encodable(printable(part), encoding))
    style = " ".join(word for word in (part.fg, "bold" * part.bold, "dim" * part.dim) if word)
    return Text(encodable(printable(part.text), encoding), style=style)


def _cell(cell: Cell, screen: Console) -> Text:
    parts = (cell,) if isinstance(cell, str | Styled) else cell
    # What is piped is searched by lines, so that a row has to be one.
    between = Text("\n" if screen.is_terminal else " ")
    return between.join(safe_text(part, screen.encoding) for part in parts)


def _shows_colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
