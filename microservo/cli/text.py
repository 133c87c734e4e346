"""Text that is safe on a terminal, whatever its origin, and how its parts are styled.

Names of services, bodies of logs and reasons of faults come from outside. An escape sequence in one can hide
or fake lines, set the terminal's title or worse (CVE-2021-25743 is kubectl's); so nothing reaches a terminal
but through `printable`, and colours are ours alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import click

from microservo.domain.text import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Styled:
    """A text and how it looks where colours are shown."""

    text: str
    fg: str | None = None
    bold: bool = False
    dim: bool = False


Part = str | Styled
Line = tuple[Part, ...]
"""The parts of one line; they are made safe when it is written."""


def styled(text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False) -> Styled:
    """A styled text."""
    return Styled(text=text, fg=fg, bold=bold, dim=dim)


def encodable(text: str, encoding: str) -> str:
    r"""The text with what an encoding lacks written as an escape, for example \xe9 in ASCII."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def rendered(parts: Iterable[Part], *, colours: bool) -> str:
    """One line, made safe part by part."""
    return "".join(_rendered(part, colours=colours) for part in parts)


def _rendered(part: Part, *, colours: bool) -> str:
    if isinstance(part, str):
        return printable(part)
    text = printable(part.text)
    return click.style(text, fg=part.fg, bold=part.bold or None, dim=part.dim or None) if colours else text
