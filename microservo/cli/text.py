"""Text that is safe on a person's terminal, whoever wrote it, and how its parts are styled.

Names of services, bodies of logs and reasons of faults come from outside. An escape sequence in one can hide
or fake lines, set the terminal's title or worse (CVE-2021-25743 is kubectl's); so nothing reaches a terminal
but through `printable`, and colours are ours alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import click

# C0 and C1 controls with line breaks, ESC, BEL and DEL; zero-width and invisible characters (but not the
# two joiners, which scripts and emoji need); marks, embeddings, overrides and isolates of direction;
# separators of lines and paragraphs; tags; halves of surrogate pairs, which can't be encoded.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)


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


def printable(text: str) -> str:
    r"""The text in one line, with what would control a terminal or can't be seen written as an escape.

    Example:
        >>> printable("a\x1b[2J\r\nb")
        'a\\x1b[2J\\r\\nb'
    """
    return _UNSAFE.sub(_escape, text)


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


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
