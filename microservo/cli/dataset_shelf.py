"""`microservo dataset build` and the rest about datasets that lie side by side in a folder."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import click

from microservo.application.dataset_shelf import (
    DEFAULT_FOLDER,
    PREVIEWED,
    BuildDataset,
    DeleteDataset,
    DescribeDataset,
    DownloadDataset,
    ListDatasets,
    PreviewDataset,
    ResumeDatasetBuild,
    ShowDataset,
    SplitDataset,
    StartDatasetBuild,
    TagDataset,
)
from microservo.application.given import duration_us, instant_us
from microservo.cli.output import console, print_document, print_line, print_table
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.text import Part, styled
from microservo.cli.times import date_time
from microservo.cli.values import InstantType
from microservo.domain.datasets.shelf import DatasetEntry, Statistics
from microservo.domain.text import printable

_COLOURS = {"finished": "green", "running": "yellow", "interrupted": "red", "failed": "red"}
_SHOWN_FEATURES = 4

_in_folder = click.option(
    "--in",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_FOLDER,
    show_default=True,
    envvar="MICROSERVO_ARCHIVE_DIR",
    metavar="DIR",
    help="Folder of datasets; MICROSERVO_ARCHIVE_DIR.",
)
_dataset = click.argument("dataset", metavar="DATASET")
_name = click.argument("name", metavar="NAME")
_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.command("build")
@_name
@click.option(
    "--run",
    "run_ids",
    multiple=True,
    metavar="RUN",
    help="Once or more, see `runs list`; by default those of the time, or the newest.",
)
@click.option("--from", "begin", type=InstantType(), help="Leave out what is before.")
@click.option("--to", "end", type=InstantType(), help="Leave out what is then or later.")
@click.option("--background", is_flag=True, help="Return at once; `dataset list` says how far it is.")
@click.option("--resume", is_flag=True, help="Build again what was interrupted or failed.")
@_in_folder
@pass_session
def build_dataset(
    session: Session,
    *,
    name: str,
    run_ids: tuple[str, ...],
    begin: datetime | None,
    end: datetime | None,
    folder: Path,
    background: bool,
    resume: bool,
) -> None:
    """Build the dataset NAME of a run, of several, or of a stretch of time.

    It is there whole or not at all. One whose process was killed is shown as
    interrupted; built again it gets the same bytes.

    \b
    Examples:
      microservo dataset build monday --run latest
      microservo dataset build campaign --run RUN-1 --run RUN-2
      microservo dataset build noon --from 2026-01-31T12:00:00Z --to 2026-01-31T12:30:00Z
      microservo dataset build monday --background
      microservo dataset build monday --resume
    """
    if resume:
        if run_ids or begin or end:
            msg = "--resume builds what was asked for before; leave --run, --from and --to out"
            raise click.UsageError(msg)
        command = session.execute(ResumeDatasetBuild(name=name, folder=folder))
    else:
        command = BuildDataset(
            name=name,
            folder=folder,
            run_ids=run_ids,
            from_us=None if begin is None else instant_us(begin),
            until_us=None if end is None else instant_us(end),
        )
    if background:
        pid = session.execute(StartDatasetBuild(request=command))
        print_line(f"process {pid} builds {printable(name)}; `microservo dataset list` says how far it is")
        return
    print_line(session.execute(command, TerminalProgress(console(stderr=True))))


@click.command("list")
@_json
@_in_folder
@pass_session
def list_datasets(session: Session, folder: Path, *, as_json: bool) -> None:
    """List the datasets in a folder, and those whose building goes on or did not end well.

    \b
    Examples:
      microservo dataset list
      microservo dataset list --json | jq -r .name
    """
    found = session.execute(ListDatasets(folder=folder))
    if as_json:
        for entry in found:
            print_document(entry)
        return
    if not found:
        print_line(f"no datasets in {printable(str(folder))}; `microservo dataset build NAME` makes one")
        return
    columns = ("name", "state", "run", "started (UTC)", "windows", "MB", "content", "tags", "description")
    print_table(columns, map(_row, found))


@click.command("show")
@_dataset
@_json
@_in_folder
@pass_session
def show_dataset(session: Session, dataset: str, folder: Path, *, as_json: bool) -> None:
    """Show a dataset in numbers; DATASET is its name, a tag, or a path.

    \b
    Examples:
      microservo dataset show monday
      microservo dataset show ./dataset --json
    """
    found = session.execute(ShowDataset(dataset=dataset, folder=folder))
    if as_json:
        print_document(found)
        return
    for name, text in _numbers(found):
        print_line(styled(f"{name:<12}", dim=True), printable(text))


@click.command("preview")
@_dataset
@click.option("--table", default="windows", show_default=True, metavar="NAME", help="Which table.")
@click.option("--rows", default=PREVIEWED, show_default=True, help="How many rows.")
@_json
@_in_folder
@pass_session
def preview_dataset(
    session: Session, dataset: str, table: str, rows: int, folder: Path, *, as_json: bool
) -> None:
    """Show the first rows of a table; of features only a few.

    \b
    Examples:
      microservo dataset preview monday
      microservo dataset preview monday --table logs --rows 20
      microservo dataset preview monday --table features --json
    """
    found = session.execute(PreviewDataset(dataset=dataset, table=table, rows=rows, folder=folder))
    if as_json:
        for row in found:
            print_document(row)
        return
    if not found:
        print_line(f"{table} has no rows")
        return
    names = list(found[0])
    shown = [name for name in names if "/" not in name]
    shown += [name for name in names if "/" in name][:_SHOWN_FEATURES]
    print_table(shown, ([_cell(row[name]) for name in shown] for row in found))


@click.command("split")
@_dataset
@click.option("--by", default="by-fault", show_default=True, metavar="HOW", help="There is by-fault.")
@click.option(
    "--warmup", default="0s", show_default=True, metavar="TIME", help="Left out after a side begins."
)
@click.option("--cooldown", default="0s", show_default=True, metavar="TIME", help="Left out after a fault.")
@click.option(
    "--out",
    "out_dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to make.",
)
@_in_folder
@pass_session
def split_dataset(
    session: Session, *, dataset: str, by: str, warmup: str, cooldown: str, out_dir: Path, folder: Path
) -> None:
    """Write the features of two sides that share no fault: train.parquet and test.parquet.

    \b
    Example:
      microservo dataset split monday --warmup 30s --cooldown 1m --out ./split
    """
    counts = session.execute(
        SplitDataset(
            dataset=dataset,
            out_dir=out_dir,
            folder=folder,
            by=by,
            warmup_s=duration_us(warmup) / 1e6,
            cooldown_s=duration_us(cooldown) / 1e6,
        )
    )
    print_line(", ".join(f"{count} windows in {out_dir / side}.parquet" for side, count in counts.items()))


@click.command("tag")
@_name
@click.argument("tag", metavar="TAG")
@_in_folder
@pass_session
def tag_dataset(session: Session, name: str, tag: str, folder: Path) -> None:
    """Give the dataset NAME, as it is now, a further name, such as a version.

    \b
    Example:
      microservo dataset tag monday v1
    """
    found = session.execute(TagDataset(name=name, tag=tag, folder=folder))
    print_line(f"{printable(tag)} is {printable(found.name)} with content {found.content_hash}")


@click.command("describe")
@_name
@click.argument("text", metavar="TEXT")
@_in_folder
@pass_session
def describe_dataset(session: Session, name: str, text: str, folder: Path) -> None:
    """Say in words what the dataset NAME is; `list` and `show` show it.

    \b
    Example:
      microservo dataset describe monday "network faults at night"
    """
    session.execute(DescribeDataset(name=name, text=text, folder=folder))


@click.command("download")
@_dataset
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ends in .tar.zst or .zip.",
)
@_in_folder
@pass_session
def download_dataset(session: Session, dataset: str, out: Path, folder: Path) -> None:
    """Put a dataset into one file; twice the same dataset gives twice the same bytes.

    \b
    Examples:
      microservo dataset download monday --out monday.tar.zst
      microservo dataset download monday --out monday.zip
    """
    progress = TerminalProgress(console(stderr=True))
    print_line(str(session.execute(DownloadDataset(dataset=dataset, out=out, folder=folder), progress)))


@click.command("delete")
@_name
@click.option("--yes", is_flag=True, help="Don't ask.")
@_in_folder
@pass_session
def delete_dataset(session: Session, name: str, folder: Path, *, yes: bool) -> None:
    """Delete the dataset NAME, or what is left of one that was not built. Nothing else is deleted.

    \b
    Examples:
      microservo dataset delete monday
      microservo dataset delete monday --yes
    """
    if not yes:
        question = f"delete {folder / name} and all that is in it? The log may no longer hold its run"
        click.confirm(printable(question), abort=True)
    session.execute(DeleteDataset(name=name, folder=folder))
    print_line(f"{printable(name)} is deleted")


COMMANDS: tuple[click.Command, ...] = (
    build_dataset,
    list_datasets,
    show_dataset,
    preview_dataset,
    split_dataset,
    tag_dataset,
    describe_dataset,
    download_dataset,
    delete_dataset,
)
"""What `microservo dataset` has besides."""


def _row(entry: DatasetEntry) -> list[Part]:
    state = entry.state if entry.state != "running" else f"running, {entry.progress:.0%}"
    return [
        entry.name,
        styled(state, fg=_COLOURS[entry.state]),
        ", ".join(entry.run_ids),
        "-" if entry.started_at_us is None else date_time(entry.started_at_us),
        str(entry.windows),
        f"{entry.size_bytes / 1e6:.1f}",
        entry.content_hash[:12],
        ", ".join(entry.tags),
        entry.problem or entry.description,
    ]


def _numbers(found: Statistics) -> Iterable[tuple[str, str]]:
    yield "dataset", found.name
    if found.description:
        yield "description", found.description
    if found.tags:
        yield "tags", ", ".join(found.tags)
    yield "runs", f"{', '.join(found.run_ids)} of {found.target}"
    yield "content", found.content_hash
    yield "duration", f"{found.duration_s:g} s"
    yield "services", _counts(found.services)
    yield "rows", _counts(found.rows)
    yield "faults", f"{sum(found.faults.values())}: {_counts(found.faults)}" if found.faults else "none"
    yield "severity", _counts(found.severities) or "-"
    yield "prevalence", _share(found.prevalence, "of the windows that are judged are anomalous")
    yield "masked", _share(found.masked, "of all windows, which nobody is judged on")
    yield "ledger", _counts(found.ledger)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _share(share: float | None, of: str) -> str:
    return "there are no windows" if share is None else f"{share:.1%} {of}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return f"{len(value)} values"
    return "" if value is None else str(value)
