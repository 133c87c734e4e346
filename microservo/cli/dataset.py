"""`microservo dataset`: rebuild, verify, hash and export datasets; the rest is in `dataset_shelf`."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from pathlib import Path

import click

from microservo.application.datasets import ExportDataset, HashDataset, RebuildDataset, VerifyDataset
from microservo.cli.completions import complete_format
from microservo.cli.dataset_import import import_recording
from microservo.cli.dataset_shelf import COMMANDS
from microservo.cli.output import console, print_line
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.domain.datasets.formats import FORMATS
from microservo.errors import MicroServoError

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FORMATS = "\b\nFormats:\n" + "\n".join(f"  {name:<13}{title}" for name, title in FORMATS.items())


@click.group()
def dataset() -> None:
    """Build datasets from the log, look at them, check them, write them in formats of others.

    \b
    Its tables, as Parquet files; README.md beside them says what each column is:
      features           start here: a window a row, a feature a column, with truth
                         and split
      services           who was there, what struck them
      windows            a window, final, with its strongest label; features as lists
      window_revisions   every revision of every window
      labels             every fault that touches a window
      effects            who was affected by a fault, and by what evidence
      effect_intervals   when telemetry had left its normal
      faults             what was injected, when, how exactly, with what verdict
      fault_events       the story of every fault
      actions            what managers did: launched, moved, stopped, why
      metrics, logs, traces, scores, graph, instances, ledger

    \b
    Examples:
      microservo dataset build monday --run latest
      microservo dataset list
      microservo dataset rebuild --run latest --out ./dataset
      microservo dataset verify ./dataset --against-live
      microservo dataset hash ./dataset
      microservo dataset export ./dataset --format rcaeval --out ./cases
      microservo dataset import ./cases/cartservice_cpu/1
    """


for _command in COMMANDS:
    dataset.add_command(_command)


@dataset.command()
@click.option("--run", "run_id", default="latest", show_default=True, metavar="RUN", help="See `runs list`.")
@click.option("--out", "out_dir", required=True, type=_FOLDER, metavar="DIR", help="Folder to make.")
@pass_session
def rebuild(session: Session, run_id: str, out_dir: Path) -> None:
    """Rebuild the dataset of a run; the same offsets give the same content hash, everywhere.

    \b
    Example:
      microservo dataset rebuild --run latest --out ./dataset
    """
    progress = TerminalProgress(console(stderr=True))
    manifest = session.execute(RebuildDataset(run_id=run_id, out_dir=out_dir), progress)
    print_line(manifest.content_hash)


@dataset.command("verify")
@click.argument("folder", type=_FOLDER, metavar="DIR")
@click.option("--against-live", is_flag=True, help="Also compare with the windows that were written live.")
@pass_session
def verify_dataset(session: Session, folder: Path, *, against_live: bool) -> None:
    """Check every file, the content hash and the ledger of the dataset in DIR.

    \b
    Examples:
      microservo dataset verify ./dataset
      microservo dataset verify ./dataset --against-live
    """
    problems = session.execute(VerifyDataset(folder=folder, against_live=against_live))
    for problem in problems:
        print_line(problem)
    if problems:
        msg = f"{len(problems)} problems; rebuild the dataset from the log"
        raise MicroServoError(msg)
    print_line("the dataset holds" + (" and equals the live windows" if against_live else ""))


@dataset.command("hash")
@click.argument("folder", type=_FOLDER, metavar="DIR")
@pass_session
def hash_dataset(session: Session, folder: Path) -> None:
    """Print the content hash of the dataset in DIR, computed from its rows.

    \b
    Example:
      microservo dataset hash ./dataset
    """
    print_line(session.execute(HashDataset(folder=folder)))


@dataset.command("export", epilog=_FORMATS)
@click.argument("folder", type=_FOLDER, metavar="DIR")
@click.option(
    "--format",
    "format_name",
    required=True,
    metavar="NAME",
    shell_complete=complete_format,
    help="One of those below.",
)
@click.option("--out", "out_dir", required=True, type=_FOLDER, metavar="DIR", help="Folder to make.")
@pass_session
def export_dataset(session: Session, folder: Path, format_name: str, out_dir: Path) -> None:
    """Write the dataset in DIR in a format of others, to run their tools on it.

    Twice the same dataset gives twice the same bytes. Beside the files of the format
    there are loss.md, which says what it can't hold, and names.csv, which has the name
    behind each that was written: some formats forbid characters that ours have.

    \b
    Examples:
      microservo dataset export ./dataset --format rcaeval --out ./RE2-OB
      microservo dataset export ./dataset --format nab --out ./nab && cat ./nab/loss.md
    """
    progress = TerminalProgress(console(stderr=True))
    command = ExportDataset(folder=folder, format_name=format_name, out_dir=out_dir)
    exported = session.execute(command, progress)
    print_line(f"{len(exported.files)} files in {out_dir}; {out_dir / 'loss.md'} says what is not in them")


dataset.add_command(import_recording)
