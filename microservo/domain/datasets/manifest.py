"""`manifest.json`: what a dataset is made of, from which offsets, by which versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from microservo.domain.datasets.content import dataset_hash
from microservo.errors import InvalidInput

FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a dataset.

    Attributes:
        name: name in the dataset's folder.
        size_bytes: its length.
        sha256: of its bytes.
        rows: number of rows; None for what is no table.
        content_sha256: of the rows' canonical bytes; empty for what is no table.
    """

    name: str
    size_bytes: int
    sha256: str
    rows: int | None = None
    content_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the run itself was; instants in microseconds UTC."""

    run_id: str
    status: str
    seed: int
    target: str
    started_at_us: int
    finished_at_us: int | None
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A dataset by its parts.

    Attributes:
        run: facts of the run.
        policy: the windows' policy, microseconds by name.
        offsets: first and next offset by 'topic/partition' (logical topic name).
        schema_ids: id on the wire by record version.
        versions: of what built the dataset.
        totals: per joined source, the counts of `SourceTotals`.
        final_until_us: microseconds UTC that the watermark of each partition number had reached; windows that
            were
            final by then are in the dataset.
        unfinished_windows: windows that were open or not final at the end, left out.
        files: every file but the manifest, by name.
        content_hash: `dataset_hash` of the tables.
    """

    run: RunFacts
    policy: Mapping[str, int]
    offsets: Mapping[str, tuple[int, int]]
    schema_ids: Mapping[str, int]
    versions: Mapping[str, str]
    totals: Mapping[str, Mapping[str, int]]
    final_until_us: Mapping[str, int]
    unfinished_windows: int
    files: tuple[FileEntry, ...]
    content_hash: str = ""
    format_version: int = field(default=FORMAT_VERSION)

    def file(self, name: str) -> FileEntry | None:
        """The entry of a file, None where it has none."""
        return next((entry for entry in self.files if entry.name == name), None)

    def with_files(self, *files: FileEntry) -> Manifest:
        """The same with more files."""
        return replace(self, files=tuple(sorted((*self.files, *files), key=lambda entry: entry.name)))

    def to_json(self) -> str:
        """The text of `manifest.json`, keys sorted."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """The manifest that a text holds.

        Raises:
            InvalidInput: not JSON, of another format version, or with parts missing.
        """
        try:
            return cls._from_fields(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            msg = f"{MANIFEST} can't be read: {error}; rebuild the dataset from the log"
            raise InvalidInput(msg) from error

    @classmethod
    def _from_fields(cls, fields: dict[str, Any]) -> Manifest:
        if fields["format_version"] != FORMAT_VERSION:
            msg = f"format version {fields['format_version']}, expected {FORMAT_VERSION}"
            raise ValueError(msg)
        return cls(
            **{
                **fields,
                "run": RunFacts(**fields["run"]),
                "files": tuple(FileEntry(**entry) for entry in fields["files"]),
                "offsets": {name: (int(first), int(end)) for name, (first, end) in fields["offsets"].items()},
            }
        )


def tables_hash(files: tuple[FileEntry, ...]) -> str:
    """The content hash over the tables among the files."""
    return dataset_hash({entry.name: entry.content_sha256 for entry in files if entry.content_sha256})
