"""`manifest.json`: what a dataset is made of, from which offsets, by which versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from microservo.domain.datasets.content import dataset_hash
from microservo.errors import InvalidInput
from schemas.records import PlannedFault, RunLoad, RunMachine

MANIFEST = "manifest.json"
_SHOWN = 60
"""Characters of a wrong value that an error shows."""
_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a dataset.

    Attributes:
        name: name in the dataset's folder.
        size_bytes: its length.
        sha256: of its bytes.
        rows: number of rows; None for what is no table.
        content_sha256: of the rows' canonical bytes; empty for what is no table, or is made of others.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: str
    size_bytes: int
    sha256: str
    rows: int | None = None
    content_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the run itself was, as its record says; instants in microseconds UTC.

    Attributes:
        partitions: how many the joined topics have.
        topology_sha256: of the topology file; empty where the target was not started from one.
        loads: load that was made, one entry per generator.
        machines: those that it took place on.
        plan: faults that a campaign was to inject, in order; empty where there was none.
        delays_us: by service how late its telemetry was declared to come; of others it was learned, and
            `delay_us` of each window says what it came to.
        clock_moved_us: how far the wall clock moved against one that nobody sets; None where not known.
        fault_free_until_us: until when nothing was injected, as was declared; None where nobody did.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    run_id: str
    status: str
    seed: int
    target: str
    started_at_us: int
    finished_at_us: int | None
    versions: Mapping[str, str]
    partitions: int
    topology_sha256: str = ""
    loads: tuple[RunLoad, ...] = ()
    machines: tuple[RunMachine, ...] = ()
    plan: tuple[PlannedFault, ...] = ()
    delays_us: Mapping[str, int] = field(default_factory=dict)
    clock_moved_us: int | None = None
    fault_free_until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A dataset by its parts.

    Attributes:
        format_version: of this file; read first, for it says what else there is.
        run: facts of the run.
        policy: the windows' policy, microseconds by name.
        offsets: first and next offset by 'topic/partition' (logical topic name).
        schema_ids: id on the wire by record version.
        versions: of what built the dataset.
        totals: per joined source, the counts of `SourceTotals`.
        final_until_us: microseconds UTC that the watermark of each partition number had reached; windows that
            were final by then are in the dataset.
        unfinished_windows: windows that were open or not final at the end, left out.
        files: every file but the manifest, by name.
        test_from_us: what begins there or later is for the test, microseconds UTC: no fault is on both sides;
            None where nothing parts the faults in two.
        range_us: of an excerpt, from when until when it goes, microseconds UTC; None for a whole run. Of an
            excerpt, too, offsets, totals and unfinished windows are those of the whole run.
        content_hash: `dataset_hash` of the tables.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    format_version: Literal[2] = 2
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
    test_from_us: int | None = None
    range_us: tuple[int, int] | None = None

    def covers(self, start_us: int, end_us: int) -> bool:
        """Whether a window of the run may be in the dataset, by when it is."""
        return self.range_us is None or (self.range_us[0] <= start_us and end_us <= self.range_us[1])

    def file(self, name: str) -> FileEntry | None:
        """The entry of a file, None where it has none."""
        return next((entry for entry in self.files if entry.name == name), None)

    def with_files(self, *files: FileEntry) -> Manifest:
        """The same with more files."""
        return replace(self, files=tuple(sorted((*self.files, *files), key=lambda entry: entry.name)))

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return _DOCUMENT.dump_json(self, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """The manifest that a text holds.

        Raises:
            InvalidInput: not JSON, of another format version, or with a part missing, unknown or of another
                type; names the part, what it is and what was expected.
        """
        try:
            return _DOCUMENT.validate_json(text)
        except ValidationError as error:
            msg = f"{MANIFEST} can't be read: {_problem(error)}; rebuild the dataset from the log"
            raise InvalidInput(msg) from error


_DOCUMENT = TypeAdapter(Manifest)


def _problem(error: ValidationError) -> str:
    """The first of its problems, in one line."""
    first = error.errors(include_url=False)[0]
    expected = first["msg"][:1].lower() + first["msg"][1:]
    if not first["loc"]:
        return expected
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{where}: {expected}"
    found = repr(first["input"])
    return f"{where}: {expected}, found {found if len(found) <= _SHOWN else found[:_SHOWN] + '...'}"


def tables_hash(files: tuple[FileEntry, ...]) -> str:
    """The content hash over the tables among the files."""
    return dataset_hash({entry.name: entry.content_sha256 for entry in files if entry.content_sha256})
