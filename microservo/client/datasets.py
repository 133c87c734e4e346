"""`client.datasets`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from microservo.application.command import Context
from microservo.application.dataset_shelf import (
    DEFAULT_FOLDER,
    BuildDataset,
    DeleteDataset,
    DescribeDataset,
    DownloadDataset,
    ListDatasets,
    ResumeDatasetBuild,
    ShowDataset,
    StartDatasetBuild,
    TagDataset,
)
from microservo.application.datasets import (
    ExportDataset,
    HashDataset,
    Imported,
    ImportRecording,
    RebuildDataset,
    VerifyDataset,
)
from microservo.application.given import instant_us
from microservo.application.progress import CallbackProgress
from microservo.application.table import execute
from microservo.domain.datasets.formats import Exported
from microservo.domain.datasets.manifest import Manifest
from microservo.domain.datasets.shelf import DatasetEntry, Statistics, Tag


class Datasets:
    """Build datasets, list, show, tag, pack and delete them; rebuild, verify, hash and export them.

    `microservo.Dataset` reads one. A folder of datasets is `datasets` in the working directory if not given.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def rebuild(
        self,
        run_id: str,
        out_dir: str | Path,
        progress: Callable[[float, float], None] | None = None,
    ) -> Manifest:
        """Rebuilds the dataset of a run from the log.

        Args:
            run_id: one of `client.runs.list()`, or "latest".
            out_dir: folder to make; it must not hold anything.
            progress: called as (messages read, messages in all).

        Raises:
            InvalidInput: there is no such run, or the folder holds something.
            OffsetGap: the log no longer holds all of the run.
        """
        return execute(RebuildDataset(run_id=run_id, out_dir=Path(out_dir)), self._shown(progress))

    def build(
        self,
        name: str,
        *,
        run_ids: Sequence[str] = (),
        begin: datetime | None = None,
        end: datetime | None = None,
        folder: str | Path = DEFAULT_FOLDER,
        progress: Callable[[float, float], None] | None = None,
    ) -> str:
        """Builds a dataset in a folder of datasets, and returns its content hash.

        How far it is stands on disk meanwhile; `list` says it.

        Args:
            name: of the dataset.
            run_ids: the runs; by default those that the time overlaps, or the newest where no time is given.
            begin: what is before is left out.
            end: what is then or later is left out.
            folder: of datasets.
            progress: called as (messages read, messages in all).

        Raises:
            InvalidInput: there is such a dataset, or it is being built; there is no such run; no window lies
                in the time.
            OffsetGap: the log no longer holds all of the run.
        """
        return execute(_build(name, run_ids, begin, end, folder), self._shown(progress))

    def start_build(
        self,
        name: str,
        *,
        run_ids: Sequence[str] = (),
        begin: datetime | None = None,
        end: datetime | None = None,
        folder: str | Path = DEFAULT_FOLDER,
    ) -> int:
        """As `build`, by a process that goes on when this one ends; returns its number at once.

        `list` says how far it is.
        """
        return execute(StartDatasetBuild(request=_build(name, run_ids, begin, end, folder)), self._context)

    def resume_build(
        self,
        name: str,
        *,
        folder: str | Path = DEFAULT_FOLDER,
        progress: Callable[[float, float], None] | None = None,
    ) -> str:
        """Builds again, from the beginning, what was interrupted or failed.

        Raises:
            InvalidInput: nobody began it, it goes on, or it has finished.
        """
        command = execute(ResumeDatasetBuild(name=name, folder=Path(folder)), self._context)
        return execute(command, self._shown(progress))

    def list(self, folder: str | Path = DEFAULT_FOLDER) -> tuple[DatasetEntry, ...]:
        """The datasets in a folder, by name, and those whose building goes on or did not end well."""
        return execute(ListDatasets(folder=Path(folder)), self._context)

    def show(self, dataset: str, *, folder: str | Path = DEFAULT_FOLDER) -> Statistics:
        """A dataset in numbers.

        Args:
            dataset: its name, a tag, or a path.
            folder: of datasets.

        Raises:
            InvalidInput: there is no such dataset, or it is damaged.
        """
        return execute(ShowDataset(dataset=dataset, folder=Path(folder)), self._context)

    def tag(self, name: str, tag: str, *, folder: str | Path = DEFAULT_FOLDER) -> Tag:
        """Gives a dataset, as it is now, a further name, such as a version.

        Raises:
            InvalidInput: there is no such dataset, or the tag is of another one.
        """
        return execute(TagDataset(name=name, tag=tag, folder=Path(folder)), self._context)

    def describe(self, name: str, text: str, *, folder: str | Path = DEFAULT_FOLDER) -> None:
        """Says in words what a dataset is.

        Raises:
            InvalidInput: there is no such dataset.
        """
        execute(DescribeDataset(name=name, text=text, folder=Path(folder)), self._context)

    def download(self, dataset: str, out: str | Path, *, folder: str | Path = DEFAULT_FOLDER) -> Path:
        """Puts a dataset into one file; twice the same dataset gives twice the same bytes.

        Args:
            dataset: its name, a tag, or a path.
            out: ends in .tar.zst or .zip.
            folder: of datasets.

        Raises:
            InvalidInput: there is no such dataset, it is damaged, or the file has another ending.
            Unavailable: there is no room.
        """
        command = DownloadDataset(dataset=dataset, out=Path(out), folder=Path(folder))
        return execute(command, self._context)

    def delete(self, name: str, *, folder: str | Path = DEFAULT_FOLDER) -> None:
        """Removes a dataset, or what is left of one that was not built; asks nobody.

        Raises:
            InvalidInput: it is no dataset, holds what is none of its files, or is being built.
        """
        execute(DeleteDataset(name=name, folder=Path(folder)), self._context)

    def verify(self, folder: str | Path, *, against_live: bool = False) -> tuple[str, ...]:
        """What is wrong with a dataset, a sentence each; empty if nothing is.

        Args:
            folder: the dataset.
            against_live: also compare with the windows that were written live.

        Raises:
            InvalidInput: the folder holds no dataset.
        """
        return execute(VerifyDataset(folder=Path(folder), against_live=against_live), self._context)

    def hash(self, folder: str | Path) -> str:
        """The content hash of a dataset, computed from its rows.

        Raises:
            InvalidInput: a table is missing or can't be read.
        """
        return execute(HashDataset(folder=Path(folder)), self._context)

    def export(
        self,
        folder: str | Path,
        format_name: str,
        out_dir: str | Path,
        progress: Callable[[float, float], None] | None = None,
    ) -> Exported:
        """Writes a dataset in a format of others; twice the same dataset gives twice the same bytes.

        Args:
            folder: the dataset.
            format_name: as `rcaeval`, `tsb-ad-m`, `nab`; `microservo dataset export --help` lists all.
            out_dir: folder to make; it must not hold anything. `loss.md` in it says what the format can't
                hold, `names.csv` which names it forbids and what is written for them.
            progress: called as (done, in all).

        Raises:
            InvalidInput: there is no such format, the folder holds no dataset or a damaged one, the format
                can't hold anything of it, or `out_dir` is taken.
            Unavailable: there is no room.
        """
        command = ExportDataset(folder=Path(folder), format_name=format_name, out_dir=Path(out_dir))
        return execute(command, self._shown(progress))

    def import_recording(
        self,
        path: str | Path,
        *,
        format_name: str = "auto",
        begin: datetime | None = None,
        end: datetime | None = None,
        speed: float | None = None,
        run_id: str | None = None,
        progress: Callable[[float, float], None] | None = None,
    ) -> tuple[Imported, ...]:
        """Puts a recording of others onto the topics, and returns when all of it is there.

        Each case, day or folder that stands for itself becomes a run of its own: there are as many answers.

        Args:
            path: a folder, or an archive with one in it.
            format_name: as `rcaeval`, `nezha`; `microservo dataset import --help` lists all; "auto" looks.
            begin: what was before is left out.
            end: what was from then on is left out.
            speed: seconds of the recording that pass in a second at most; as fast as it goes where None.
            run_id: of an import of the same recording that was interrupted, to go on with it and with the
                parts behind it.
            progress: called as (done, in all), for each stage.

        Raises:
            InvalidInput: the recording can't be read (the message names file and row), is longer than a run
                may be, the speed is no positive number, there is no such run, or it is of another recording.
            Unavailable: the broker was away for long; what was published stays, and `run_id` goes on.
        """
        command = ImportRecording(
            path=Path(path),
            format_name=format_name,
            speed=speed,
            run_id=run_id,
            from_at=begin,
            to_at=end,
        )
        return execute(command, self._shown(progress))

    def _shown(self, progress: Callable[[float, float], None] | None) -> Context:
        return self._context if progress is None else self._context.with_progress(CallbackProgress(progress))


def _build(
    name: str, run_ids: Sequence[str], begin: datetime | None, end: datetime | None, folder: str | Path
) -> BuildDataset:
    return BuildDataset(
        name=name,
        folder=Path(folder),
        run_ids=tuple(run_ids),
        from_us=None if begin is None else instant_us(begin),
        until_us=None if end is None else instant_us(end),
    )
