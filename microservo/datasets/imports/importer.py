"""What an importer is: a pure reader of a folder, which yields rows and faults, and says what it chose."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

from microservo.domain.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFault:
    """A fault as a label of others has it; instants in microseconds UTC.

    Attributes:
        instance: "" where the label names none.
        end_us: None where the label has no end.
        within_us: how exactly the label says both; None where that is not known.
        said_in: the file that has the label.
    """

    kind: str
    service: str
    start_us: int
    said_in: str
    instance: str = ""
    end_us: int | None = None
    within_us: int | None = None


@dataclass(slots=True)
class Notes:
    """What was found odd in a recording and what was made of it: each sentence once, with how often."""

    _counts: dict[str, int] = field(default_factory=dict)

    def note(self, sentence: str, times: int = 1) -> None:
        """Counts one more of what a sentence says."""
        self._counts[sentence] = self._counts.get(sentence, 0) + times

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of them, in the order in which they were found."""
        return tuple(f"{times} x {text}" for text, times in self._counts.items())


class Importer(Protocol):
    """Reads a format of others.

    Attributes:
        name: as `--format` takes it.
    """

    name: ClassVar[str]

    def recognises(self, folder: Path) -> bool:
        """Whether a folder looks like one of this format; cheap, and never an error."""

    def read(self, folder: Path, notes: Notes) -> Iterator[Rows | ForeignFault]:
        """All that a folder holds, in any order; the same folder gives the same, twice.

        Raises:
            InvalidInput: a file can't be read; the message names it and the row.
        """
