"""What an importer is: a pure reader of a folder, which yields rows and faults, and says what it chose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignCall:
    """That a service calls another, as a graph of others has it."""

    caller: str
    callee: str


Foreign = Rows | ForeignFault | ForeignCall
"""What a recording holds."""


@dataclass(slots=True)
class Extent:
    """The earliest and the latest instant that was read, and where each stands."""

    first_us: int = 2**62
    first_at: str = ""
    last_us: int = 0
    last_at: str = ""

    def add(self, time_us: int, name: str, row: int) -> None:
        """Counts an instant of a row of a file."""
        if time_us < self.first_us:
            self.first_us, self.first_at = time_us, f"{name}, row {row}"
        if time_us > self.last_us:
            self.last_us, self.last_at = time_us, f"{name}, row {row}"


@dataclass(slots=True)
class Notes:
    """What was found odd in a recording and what was made of it: each sentence once, with how often.

    Attributes:
        extent: from when to when what was read reaches.
    """

    extent: Extent = field(default_factory=Extent)
    _counts: dict[str, int] = field(default_factory=dict)

    def note(self, sentence: str, times: int = 1) -> None:
        """Counts one more of what a sentence says."""
        self._counts[sentence] = self._counts.get(sentence, 0) + times

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of them, in the order in which they were found."""
        return tuple(f"{times} x {text}" for text, times in self._counts.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one run is made of.

    Attributes:
        name: tells it from the others of its recording, wherever that lies; "" where there are no others.
        folders: those that hold it.
        is_fault_free: whether the recording says that there was no fault in it.
    """

    name: str
    folders: tuple[Path, ...]
    is_fault_free: bool = False


class Importer(Protocol):
    """Reads a format of others.

    Attributes:
        name: as `--format` takes it.
    """

    name: ClassVar[str]

    def recognises(self, folder: Path) -> bool:
        """Whether a folder looks like one of this format; cheap, and never an error."""

    def parts(self, folder: Path) -> Sequence[Part]:
        """What a folder holds, each to become a run of its own, in an order that is always the same.

        Raises:
            InvalidInput: it holds none; the message says what was expected.
        """

    def read(self, part: Part, notes: Notes) -> Iterator[Foreign]:
        """All that a part holds, in any order; the same files give the same, twice.

        Raises:
            InvalidInput: a file can't be read; the message names it and the row.
        """
