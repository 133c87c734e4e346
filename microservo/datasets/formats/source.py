"""A dataset that is exported: its manifest and its tables, read in columns and checked first."""

from __future__ import annotations

from pathlib import Path

from microservo.datasets.formats.reading import Tables
from microservo.datasets.tables import TABLES
from microservo.datasets.verifying import byte_problems, read_manifest
from microservo.errors import InvalidInput


class Source(Tables):
    """Reads a dataset, checked first.

    Args:
        folder: with its tables and its manifest.

    Attributes:
        manifest: that of the dataset.

    Raises:
        InvalidInput: the folder holds no dataset, or one whose tables are not those of its manifest.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.manifest = read_manifest(folder)
        for name in TABLES:
            entry = self.manifest.file(name)
            problems = [f"{name}: not in the manifest"] if entry is None else byte_problems(folder, entry)
            if problems:
                msg = f"{folder} is damaged: {problems[0]}; rebuild the dataset from the log"
                raise InvalidInput(msg)

    def rows(self, name: str) -> int:
        """How many rows a table has."""
        entry = self.manifest.file(name)
        return 0 if entry is None else entry.rows or 0
