"""What can be asked for about datasets that lie side by side in a folder."""

# Handlers load pyarrow when they are called: it takes a while, and most who talk to a system never need it.
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from microservo.application.command import Command, Context
from microservo.application.runs import LATEST_RUN, ListRuns, list_runs, run_id_of
from microservo.domain.datasets.shelf import BuildRequest, DatasetEntry, Statistics, Tag
from microservo.errors import InvalidInput
from schemas.records import Experiment

DEFAULT_FOLDER = Path("datasets")
"""Where datasets are looked for and built, in the working directory: where the archiver puts them, too."""
PREVIEWED = 5
"""Rows that a preview shows if nothing is said."""
_BUILDER = "microservo.application.dataset_build_process"
"""What builds in the background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildDataset(Command[str]):
    """Builds a dataset of runs, or of a stretch of time; its state is on disk while it goes on.

    Attributes:
        name: of the dataset; its folder.
        folder: of datasets.
        run_ids: the runs; by default those that the time overlaps, or the newest where no time is given.
        from_us: what is before is left out, microseconds UTC.
        until_us: what is then or later is left out, microseconds UTC.
    """

    name: str
    folder: Path = DEFAULT_FOLDER
    run_ids: tuple[str, ...] = ()
    from_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDatasetBuild(Command[int]):
    """Has a process of its own build a dataset, which goes on when this one ends; returns its number.

    Attributes:
        request: what the dataset is made of.
    """

    request: BuildDataset


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeDatasetBuild(Command[BuildDataset]):
    """Asks for what a building that was interrupted or failed was to make; the same gives the same bytes."""

    name: str
    folder: Path = DEFAULT_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDatasets(Command[tuple[DatasetEntry, ...]]):
    """Asks for all datasets in a folder, and those whose building goes on or did not end well."""

    folder: Path = DEFAULT_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowDataset(Command[Statistics]):
    """Asks for a dataset in numbers.

    Attributes:
        dataset: its name, a tag, or a path.
    """

    dataset: str
    folder: Path = DEFAULT_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewDataset(Command[tuple[Mapping[str, Any], ...]]):
    """Asks for the first rows of a table of a dataset, instants as text.

    Attributes:
        dataset: its name, a tag, or a path.
        table: without the ending of its file.
        rows: how many.
    """

    dataset: str
    folder: Path = DEFAULT_FOLDER
    table: str = "windows"
    rows: int = PREVIEWED


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitDataset(Command[Mapping[str, int]]):
    """Writes the features of the two sides of a split, `train.parquet` and `test.parquet`.

    Attributes:
        dataset: its name, a tag, or a path.
        out_dir: folder to make; it must not hold anything.
        by: as of `microservo.Dataset.split`.
        warmup_s: left out after the start of each side.
        cooldown_s: left out after the end of each fault.
    """

    dataset: str
    out_dir: Path
    folder: Path = DEFAULT_FOLDER
    by: str = "by-fault"
    warmup_s: float = 0.0
    cooldown_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TagDataset(Command[Tag]):
    """Gives a dataset, as it is now, a further name, such as a version."""

    name: str
    tag: str
    folder: Path = DEFAULT_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeDataset(Command[None]):
    """Says in words what a dataset is."""

    name: str
    text: str
    folder: Path = DEFAULT_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadDataset(Command[Path]):
    """Puts a dataset into one file; twice the same dataset gives twice the same bytes.

    Attributes:
        dataset: its name, a tag, or a path.
        out: ends in .tar.zst or .zip.
    """

    dataset: str
    out: Path
    folder: Path = DEFAULT_FOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDataset(Command[None]):
    """Removes a dataset, or what is left of one that was not built."""

    name: str
    folder: Path = DEFAULT_FOLDER


def build_dataset(command: BuildDataset, context: Context) -> str:
    """The content hash of the dataset that was built.

    Raises:
        InvalidInput: there is such a dataset, or it is being built; there is no such run; no window lies in
            the time.
        OffsetGap: the log no longer holds all of the run.
    """
    return build_in_folder(command.folder, command.name, _request(command, context), context)


def build_in_folder(
    folder: Path, name: str, request: BuildRequest, context: Context, *, wait_s: float = 0.0
) -> str:
    """As `build_dataset`, by a request whose run is known; may wait for the name to be free."""
    from microservo.datasets.building import build
    from microservo.datasets.shelf import Shelf

    with context.progress.stage("dataset") as stage:
        content_hash = build(
            context.connection.broker,
            Shelf(folder),
            name,
            request,
            topic_prefix=context.connection.topic_prefix,
            progress=stage.advance,
            wait_s=wait_s,
        )
        stage.show(f"{', '.join(request.run_ids)} in {folder / name}")
    return content_hash


def start_dataset_build(command: StartDatasetBuild, context: Context) -> int:
    """The number of the process; `ListDatasets` says how far it is.

    Raises:
        InvalidInput: there is such a dataset, or it is being built; there is no such run.
        Unavailable: the folder can't be written to.
    """
    from microservo.datasets.building import start_build
    from microservo.datasets.shelf import Shelf

    asked, connection = command.request, context.connection
    request = _request(asked, context)
    settings = {"MICROSERVO_TOPIC_PREFIX": connection.topic_prefix}
    servers = getattr(getattr(connection.broker, "settings", None), "bootstrap_servers", None)
    if servers is None:
        msg = "a broker in memory ends with its process; build in the foreground"
        raise InvalidInput(msg)
    settings["MICROSERVO_BOOTSTRAP_SERVERS"] = servers
    return start_build(Shelf(asked.folder), asked.name, request, program=_BUILDER, settings=settings)


def resume_dataset_build(command: ResumeDatasetBuild, _context: Context) -> BuildDataset:
    """What is to be built once more, from the beginning.

    Raises:
        InvalidInput: nobody began it, it goes on, or it has finished.
    """
    from microservo.datasets.shelf import Shelf

    found = Shelf(command.folder).build(command.name)
    if found is None or found.state in ("running", "finished"):
        state = "was never begun" if found is None else f"is {found.state}"
        msg = f"the building of {command.name!r} {state}; only what was interrupted or failed can be resumed"
        raise InvalidInput(msg)
    request = found.request
    return BuildDataset(
        name=command.name,
        folder=command.folder,
        run_ids=request.run_ids,
        from_us=request.from_us,
        until_us=request.until_us,
    )


def list_datasets(command: ListDatasets, _context: Context) -> tuple[DatasetEntry, ...]:
    """The datasets, by name."""
    from microservo.datasets.shelf import Shelf

    return tuple(Shelf(command.folder).entries())


def show_dataset(command: ShowDataset, _context: Context) -> Statistics:
    """The numbers.

    Raises:
        InvalidInput: there is no such dataset, or it is damaged.
    """
    from microservo.datasets.shelf import Shelf

    return Shelf(command.folder).statistics(command.dataset)


def preview_dataset(command: PreviewDataset, _context: Context) -> tuple[Mapping[str, Any], ...]:
    """The rows, column by column.

    Raises:
        InvalidInput: there is no such dataset or table, or it can't be read.
    """
    from microservo.datasets.dataset import Dataset
    from microservo.datasets.shelf import Shelf

    if command.rows < 1:
        msg = f"{command.rows} rows can't be shown; ask for 1 or more"
        raise InvalidInput(msg)
    dataset = Dataset(Shelf(command.folder).find(command.dataset))
    rows = dataset.table(command.table).head(command.rows).to_pylist()
    return tuple({name: _shown(value) for name, value in row.items()} for row in rows)


def split_dataset(command: SplitDataset, _context: Context) -> Mapping[str, int]:
    """How many windows are on each side.

    Raises:
        InvalidInput: there is no such dataset or split, nothing parts its faults, or `out_dir` is taken.
        Unavailable: there is no room.
    """
    from microservo.datasets.dataset import Dataset
    from microservo.datasets.shelf import Shelf

    dataset = Dataset(Shelf(command.folder).find(command.dataset))
    split = dataset.split(command.by, warmup=command.warmup_s, cooldown=command.cooldown_s)
    return split.write(command.out_dir)


def tag_dataset(command: TagDataset, _context: Context) -> Tag:
    """What the tag is of.

    Raises:
        InvalidInput: there is no such dataset, or the tag is of another one.
    """
    from microservo.datasets.shelf import Shelf

    return Shelf(command.folder).tag(command.name, command.tag)


def describe_dataset(command: DescribeDataset, _context: Context) -> None:
    """Returns when the words are written.

    Raises:
        InvalidInput: there is no such dataset.
    """
    from microservo.datasets.shelf import Shelf

    Shelf(command.folder).describe(command.name, command.text)


def download_dataset(command: DownloadDataset, context: Context) -> Path:
    """Where the file is.

    Raises:
        InvalidInput: there is no such dataset, it is damaged, or the file has another ending.
        Unavailable: there is no room.
    """
    from microservo.datasets.archive import write_archive
    from microservo.datasets.shelf import Shelf

    with context.progress.stage("archive") as stage:
        write_archive(Shelf(command.folder).find(command.dataset), command.out, stage.advance)
        stage.show(str(command.out))
    return command.out


def delete_dataset(command: DeleteDataset, _context: Context) -> None:
    """Returns when it is gone.

    Raises:
        InvalidInput: it is no dataset, holds what is none of its files, or is being built.
        Unavailable: it can't be removed.
    """
    from microservo.datasets.shelf import Shelf

    Shelf(command.folder).delete(command.name)


def _shown(value: Any) -> Any:
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def _request(command: BuildDataset, context: Context) -> BuildRequest:
    has_time = command.from_us is not None or command.until_us is not None
    if command.run_ids or not has_time:
        wanted = command.run_ids or (LATEST_RUN,)
        run_ids = tuple(sorted({run_id_of(run_id, context) for run_id in wanted}))
    else:
        run_ids = _runs_within(command.from_us or 0, command.until_us, list_runs(ListRuns(), context))
    return BuildRequest(run_ids=run_ids, from_us=command.from_us, until_us=command.until_us)


def _runs_within(from_us: int, until_us: int | None, runs: tuple[Experiment, ...]) -> tuple[str, ...]:
    found = tuple(
        run.run_id
        for run in runs
        if (until_us is None or run.started_at_us < until_us)
        and (run.finished_at_us is None or run.finished_at_us > from_us)
    )
    if not found:
        msg = "no run goes on in that time; `microservo runs list` says when each did"
        raise InvalidInput(msg)
    return tuple(sorted(found))
