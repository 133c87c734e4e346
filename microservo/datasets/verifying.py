"""Whether a dataset is what its manifest says, and whether nothing was lost on the way into it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from microservo.datasets.derived import DERIVED, derived_problems
from microservo.datasets.facts import ledger_rows
from microservo.datasets.files import file_hash, table_content
from microservo.datasets.tables import TABLES
from microservo.domain.datasets.content import dataset_hash
from microservo.domain.datasets.ledger import ledger_problems
from microservo.domain.datasets.manifest import MANIFEST, FileEntry, Manifest, tables_hash
from microservo.domain.joined_topics import SOURCES
from microservo.errors import InvalidInput

_LEDGER = "ledger.parquet"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a dataset.

    Raises:
        InvalidInput: the folder has none, or it can't be read.
    """
    try:
        text = (folder / MANIFEST).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{folder} is no dataset: {MANIFEST} can't be read ({error}); build one with `dataset rebuild`"
        raise InvalidInput(msg) from error
    return Manifest.from_json(text)


def verify(folder: Path) -> list[str]:
    """Everything that is wrong with a dataset, one sentence each; empty if nothing is.

    Checks each file's length, SHA-256, rows and content hash, the hash of the whole, the ledger's identity
    and the ledger against the counts of the writers' stamps. Where all that holds, it makes what is made of
    other tables once more and compares.

    Raises:
        InvalidInput: there is no manifest that can be read.
    """
    manifest = read_manifest(folder)
    names = {entry.name for entry in manifest.files}
    problems = [f"{name}: not in the manifest" for name in sorted({*TABLES, *DERIVED} - names)]
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    problems += [f"{name}: no part of the dataset" for name in sorted(present - names)]
    for entry in manifest.files:
        problems += _file_problems(folder, entry)
    if manifest.content_hash != tables_hash(manifest.files):
        problems.append(f"content hash {manifest.content_hash} does not follow from the files' content")
    problems += _loss_problems(folder, manifest)
    return problems or _derived_problems(folder, manifest)


def content_hash(folder: Path) -> str:
    """The content hash of a dataset, computed from its rows, whatever its manifest says.

    Raises:
        InvalidInput: a table is missing or can't be read.
    """
    try:
        return dataset_hash({name: table_content(folder / name).hexdigest() for name in TABLES})
    except (OSError, pa.ArrowException) as error:
        msg = f"{folder} has no content hash: {error}; rebuild the dataset from the log"
        raise InvalidInput(msg) from error


def byte_problems(folder: Path, entry: FileEntry) -> list[str]:
    """What is wrong with the bytes of a file, whatever they mean; empty if nothing is."""
    path = folder / entry.name
    if Path(entry.name).name != entry.name or not path.is_file():
        return [f"{entry.name}: missing"]
    try:
        size_bytes, sha256 = file_hash(path)
    except OSError as error:
        return [f"{entry.name}: can't be read: {error}"]
    if (size_bytes, sha256) == (entry.size_bytes, entry.sha256):
        return []
    return [
        f"{entry.name}: {size_bytes} bytes with SHA-256 {sha256},"
        f" expected {entry.size_bytes} with {entry.sha256}"
    ]


def _file_problems(folder: Path, entry: FileEntry) -> list[str]:
    problems = byte_problems(folder, entry)
    path = folder / entry.name
    if entry.name in TABLES and path.is_file():
        problems += _content_problems(path, entry)
    return problems


def _content_problems(path: Path, entry: FileEntry) -> list[str]:
    try:
        content = table_content(path)
    except (OSError, pa.ArrowException) as error:
        return [f"{entry.name}: can't be read as Parquet: {error}"]
    problems = []
    if content.rows != entry.rows:
        problems.append(f"{entry.name}: {content.rows} rows, expected {entry.rows}")
    if content.hexdigest() != entry.content_sha256:
        problems.append(f"{entry.name}: content {content.hexdigest()}, expected {entry.content_sha256}")
    return problems


def _loss_problems(folder: Path, manifest: Manifest) -> list[str]:
    """What the counts say is missing."""
    totals = {source: manifest.totals.get(source, {}) for source in SOURCES}
    problems = [
        f"{source}: {counts[what]} {what.replace('_', ' ')} by the writers' stamps"
        for source, counts in totals.items()
        for what in ("missing_messages", "missing_records")
        if counts.get(what)
    ]
    try:
        produced = {source: counts.get("produced", 0) for source, counts in totals.items()}
        # The writers counted the whole run, so that an excerpt has its ledger's identity alone.
        expected = produced if manifest.range_us is None else None
        return problems + ledger_problems(ledger_rows(folder / _LEDGER), expected)
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        return [*problems, f"{_LEDGER}: can't be read: {error}"]


def _derived_problems(folder: Path, manifest: Manifest) -> list[str]:
    try:
        return derived_problems(folder, manifest)
    except (OSError, UnicodeDecodeError, pa.ArrowException, InvalidInput) as error:
        return [f"what is made of the tables can't be compared with them: {error}"]
