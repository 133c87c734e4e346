"""Datasets side by side in a folder: what is known of each, of those that are built, and in numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from microservo.errors import InvalidInput

BuildState = Literal["running", "finished", "failed", "interrupted"]
_NAME = re.compile(r"[^\x00-\x1f\x7f/\\.@][^\x00-\x1f\x7f/\\]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What a dataset is to be made of.

    Attributes:
        run_ids: the runs; of several, each is in a folder of its own.
        from_us: what is before is left out, microseconds UTC; None for the run's beginning.
        until_us: what is then or later is left out; None for the run's end.
    """

    run_ids: tuple[str, ...]
    from_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The building of a dataset, as its file says; instants in microseconds UTC.

    Attributes:
        name: of the dataset.
        state: "interrupted" is no state of the file: it says running, and its process is gone.
        pid: the process that builds it.
        process_started_s: when that began, in seconds since the epoch, so that no other one passes for it.
        done: messages read so far, of `total`.
        error: why it failed.
    """

    name: str
    request: BuildRequest
    state: BuildState
    pid: int
    process_started_s: float
    began_us: int
    ended_us: int | None = None
    done: int = 0
    total: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEntry:
    """A dataset, or one that is not there yet.

    Attributes:
        state: "finished" for one that is there.
        description: what people said of it.
        tags: names that were given to it as it is.
        run_ids: of its runs.
        windows: how many.
        size_bytes: of all files.
        problem: why it can't be read or was not built; empty where all is well.
        progress: share that is done, 0 to 1.
    """

    name: str
    state: BuildState
    description: str = ""
    tags: tuple[str, ...] = ()
    run_ids: tuple[str, ...] = ()
    started_at_us: int | None = None
    windows: int = 0
    size_bytes: int = 0
    content_hash: str = ""
    problem: str = ""
    progress: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A dataset in numbers.

    Attributes:
        target: what was under load; of several, separated by commas.
        duration_s: from the start of the first window to the end of the last, of all runs together.
        services: how many of each kind.
        rows: of each table.
        faults: faults that were in force, by kind.
        severities: such faults by severity, in four steps.
        prevalence: share of anomalous windows among those that are judged; None where there are none.
        masked: share of windows that nobody is judged on.
        ledger: counts over all sources, by what became of the records.
    """

    name: str
    run_ids: tuple[str, ...]
    target: str
    content_hash: str
    duration_s: float
    services: Mapping[str, int]
    rows: Mapping[str, int]
    faults: Mapping[str, int]
    severities: Mapping[str, int]
    prevalence: float | None
    masked: float | None
    ledger: Mapping[str, int]
    description: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A name for a dataset as it was: another content is another version."""

    name: str
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What people said of the datasets of a folder: descriptions by name, and tags."""

    descriptions: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, Tag] = field(default_factory=dict)


def check_name(name: str) -> str:
    """The name, if a folder can have it and no path is hidden in it.

    Raises:
        InvalidInput: it can't be used.
    """
    if not _NAME.fullmatch(name) or name != name.strip():
        msg = (
            f"{name!r} can't name a dataset; use up to 100 characters without / and \\, and begin with no dot"
        )
        raise InvalidInput(msg)
    return name
