"""What an exporter is, and where it puts its files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

import pyarrow as pa

from microservo.datasets.formats.csv_files import CsvFile
from microservo.datasets.formats.names import NAME_COLUMNS, Names
from microservo.datasets.formats.source import Source
from microservo.domain.datasets.manifest import Manifest
from microservo.domain.text import printable

NAMES = "names.csv"
LOSS = "loss.md"

Progress = Callable[[float, float], None]


class Format(Protocol):
    """A format of others.

    Attributes:
        name: as `--format` takes it.
        losses: what it can't hold of any dataset, a sentence each.
    """

    name: ClassVar[str]
    losses: ClassVar[Sequence[str]]

    def export(self, source: Source, out: Export) -> None:
        """Writes the files; the same dataset gives the same bytes.

        Raises:
            InvalidInput: a table can't be read, or there is nothing that the format can hold.
            OSError: a file can't be written.
        """


class Export:
    """A folder that an exporter fills.

    Args:
        folder: it is there, and empty.
        progress: called as (done, in all).

    Attributes:
        names: those that the format forbids, and what is written for them.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self._folder = folder
        self.progress = progress
        self.names = Names()
        self._losses: list[str] = []

    def path(self, name: str) -> Path:
        """Where a file goes, by its path in the folder; its own folder is made."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def text(self, name: str, text: str) -> None:
        """Writes a file of text."""
        self.path(name).write_text(text, "utf-8", newline="\n")

    def csv(self, name: str, table: pa.Table) -> None:
        """Writes a table, behind the rows that are in the file already."""
        with CsvFile(self.path(name), table.schema) as file:
            file.append(table)

    def lost(self, sentence: str) -> None:
        """Notes what of this very dataset the format could not hold."""
        self._losses.append(sentence)

    def finish(self, exporter: Format, manifest: Manifest) -> tuple[str, ...]:
        """Writes `names.csv` and `loss.md`, and returns all that is lost."""
        losses = (*exporter.losses, *self._losses)
        self.csv(NAMES, self.names.table().rename_columns(list(NAME_COLUMNS)))
        lines = "".join(f"- {printable(each)}\n" for each in losses)
        self.text(
            LOSS,
            f"# What `{exporter.name}` does not hold\n\n"
            f"Run {printable(manifest.run.run_id)}, content hash {manifest.content_hash}."
            f" `{NAMES}` has the name behind each that was written.\n\n{lines}",
        )
        return losses
