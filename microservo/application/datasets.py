"""What can be asked for about datasets."""

# Handlers load pyarrow when they are called: it takes a while, and most who talk to a system never need it.
# ruff: noqa: PLC0415

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from microservo.application.command import Command, Context
from microservo.application.given import instant_us
from microservo.application.runs import LATEST_RUN, run_id_of
from microservo.domain.datasets.formats import Exported
from microservo.domain.datasets.import_formats import AUTO
from microservo.domain.datasets.manifest import Manifest
from microservo.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildDataset(Command[Manifest]):
    """Rebuilds the dataset of a run from the log.

    Attributes:
        out_dir: folder to make; it must not hold anything.
        run_id: one of `ListRuns`, or "latest".
    """

    out_dir: Path
    run_id: str = LATEST_RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFolder(Command[None]):
    """Refuses a folder that no dataset can be made in, before a run is spent on it."""

    out_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyDataset(Command[tuple[str, ...]]):
    """Checks every file, the content hash and the ledger of the dataset in a folder.

    Attributes:
        against_live: also compare with the windows that were written live.
    """

    folder: Path
    against_live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HashDataset(Command[str]):
    """Asks for the content hash of the dataset in a folder, computed from its rows."""

    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportDataset(Command[Exported]):
    """Writes the dataset in a folder in a format of others.

    Attributes:
        format_name: one of `microservo.domain.datasets.formats.FORMATS`.
        out_dir: folder to make; it must not hold anything.
    """

    folder: Path
    format_name: str
    out_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of a recording of others, or of a part of it.

    Attributes:
        run_id: the run that it is now.
        format_name: what it was read as.
        part: which case, day or folder of the recording it is; "" where all of it is one run.
        records: how many metric points, lines and spans it has.
        faults: how many faults its labels declare.
        notes: what was found odd, and what was made of it, a sentence each.
    """

    run_id: str
    format_name: str
    part: str
    records: int
    faults: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRecording(Command[tuple[Imported, ...]]):
    """Puts a recording of others onto the topics, as runs of its own: one for each part that it has.

    Attributes:
        path: a folder, or an archive with one in it.
        format_name: one of `microservo.domain.datasets.import_formats.IMPORT_FORMATS`, or "auto", which
            looks.
        speed: seconds of the recording that pass in a second at most; as fast as it goes where None.
        run_id: of an import of the same recording that was interrupted, to go on with it and with the parts
            behind it; new runs where None.
        from_at: what was before is left out.
        to_at: what was from then on is left out.
    """

    path: Path
    format_name: str = AUTO
    speed: float | None = None
    run_id: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None


def import_recording(command: ImportRecording, context: Context) -> tuple[Imported, ...]:
    """What became of each part of the recording, once all its runs have ended.

    Raises:
        InvalidInput: the recording can't be read (the message names file and row) or is longer than a run may
            be, the speed is no positive number, the range none, there is no such run, it is of another
            recording, or the broker is no Kafka.
        Unavailable: the broker was away for long; what was published stays, and `run_id` goes on.
    """
    from microservo.adapters.kafka import KafkaBroker
    from microservo.application.importing import Import
    from microservo.datasets.imports.span_of_time import SpanOfTime

    if command.speed is not None and not 0 < command.speed < float("inf"):
        msg = f"{command.speed} is no speed; expected how many times as fast as it was, more than 0"
        raise InvalidInput(msg)
    if command.from_at is not None and command.to_at is not None and command.from_at >= command.to_at:
        msg = f"--to {command.to_at.isoformat()} is not after --from {command.from_at.isoformat()}"
        raise InvalidInput(msg)
    if not isinstance(context.connection.broker, KafkaBroker):
        msg = "a recording is imported by a process of its own, which needs a Kafka broker; connect to one"
        raise InvalidInput(msg)
    within = SpanOfTime(
        from_us=None if command.from_at is None else instant_us(command.from_at),
        until_us=None if command.to_at is None else instant_us(command.to_at),
    )
    with Import(
        context.connection,
        command.path,
        format_name=command.format_name,
        within=within,
        speed=command.speed,
        progress=context.progress,
        run_id=command.run_id,
    ) as job:
        return tuple(job.publish())


def rebuild_dataset(command: RebuildDataset, context: Context) -> Manifest:
    """The manifest of the dataset that was made.

    Raises:
        InvalidInput: there is no such run, or the folder holds something.
        OffsetGap: the log no longer holds all of the run.
    """
    from microservo.datasets import rebuild

    with context.progress.stage("dataset") as stage:
        manifest = rebuild(
            context.connection.broker,
            run_id=run_id_of(command.run_id, context),
            out_dir=command.out_dir,
            topic_prefix=context.connection.topic_prefix,
            progress=stage.advance,
        )
        stage.show(f"{manifest.run.run_id} in {command.out_dir}")
    return manifest


def check_folder(command: CheckFolder, _context: Context) -> None:
    """Returns if the folder will do.

    Raises:
        InvalidInput: it holds something, or can't be made.
    """
    from microservo.datasets.draft import refuse_unusable

    refuse_unusable(command.out_dir)


def verify_dataset(command: VerifyDataset, context: Context) -> tuple[str, ...]:
    """What is wrong, a sentence each; empty if nothing is.

    Raises:
        InvalidInput: the folder holds no dataset.
    """
    from microservo.datasets import verify_against_live
    from microservo.datasets.contents import contents_of, problems_of

    problems = problems_of(command.folder)
    if command.against_live:
        connection = context.connection
        for place in contents_of(command.folder).runs:
            problems += verify_against_live(place, connection.broker, connection.topic_prefix)
    return tuple(problems)


def hash_dataset(command: HashDataset, _context: Context) -> str:
    """The content hash.

    Raises:
        InvalidInput: a table is missing or can't be read.
    """
    from microservo.datasets.contents import hash_of

    return hash_of(command.folder)


def export_dataset(command: ExportDataset, context: Context) -> Exported:
    """What was written, and what the format could not hold.

    Raises:
        InvalidInput: there is no such format, the folder holds no dataset or a damaged one, the format can't
            hold anything of it, or `out_dir` is taken.
        Unavailable: there is no room.
    """
    from microservo.datasets import export

    with context.progress.stage("export") as stage:
        exported = export(
            command.folder,
            format_name=command.format_name,
            out_dir=command.out_dir,
            progress=stage.advance,
        )
        stage.show(f"{len(exported.files)} files in {command.out_dir}")
    return exported
