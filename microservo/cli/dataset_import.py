"""`microservo dataset import`: a recording of others, as runs on the topics."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import click

from microservo.application.datasets import Imported, ImportRecording
from microservo.cli.output import console, print_document, print_line
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.signals import handled_signals
from microservo.cli.values import InstantType
from microservo.domain.datasets.import_formats import AUTO, IMPORT_FORMATS
from microservo.domain.text import printable

_FORMATS = "\b\nFormats:\n" + "\n".join(f"  {name:<11}{title}" for name, title in IMPORT_FORMATS.items())


class SpeedType(click.ParamType):
    """How fast time passes, such as 60x."""

    name = "speed"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of the recording in a second."""
        found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)x", value)
        if found is None or float(found[1]) <= 0:
            self.fail(f"{value!r} is no speed; write how many times as fast as it was, for example 60x")
        return float(found[1])


@click.command("import", epilog=_FORMATS)
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option(
    "--format",
    "format_name",
    type=click.Choice((AUTO, *IMPORT_FORMATS)),
    default=AUTO,
    show_default=True,
    help="What PATH is; auto looks.",
)
@click.option("--from", "from_at", type=InstantType(), help="What was before is left out.")
@click.option("--to", "to_at", type=InstantType(), help="What was from then on is left out.")
@click.option(
    "--speed", type=SpeedType(), metavar="60x", help="No faster than that; as fast as it goes else."
)
@click.option("--run", "run_id", metavar="ID", help="Go on with an import that was interrupted.")
@click.option("--json", "as_json", is_flag=True, help="What became of it, a JSON document per run.")
@pass_session
def import_recording(
    session: Session,
    *,
    path: Path,
    format_name: str,
    from_at: datetime | None,
    to_at: datetime | None,
    speed: float | None,
    run_id: str | None,
    as_json: bool,
) -> None:
    """Put a recording of others onto the topics, as runs, and print their ids.

    All of PATH, a folder or an archive, is read before anything is published; what can't be
    read is named by file and row. Records keep their times, labels become declared faults, as
    exact as they say, and their effects are measured. What was odd, and what was made of it,
    is said. A case, day or folder that stands for itself becomes a run of its own. A run spans
    a week at most: of what is longer --from and --to take a part.

    \b
    Examples:
      microservo dataset import ./RE2-OB/cartservice_cpu/1
      microservo dataset import ./nezha.tar.gz --format nezha --speed 60x
      microservo dataset import ./NAB --from 2014-04-10T00:00:00Z --to 2014-04-17T00:00:00Z
      microservo dataset rebuild --run latest --out ./dataset
    """
    command = ImportRecording(
        path=path, format_name=format_name, speed=speed, run_id=run_id, from_at=from_at, to_at=to_at
    )
    # A second signal ends this process at once, and its collector with it: no child outlives its supervisor.
    with handled_signals(lambda: None):
        imported = session.execute(command, TerminalProgress(console(stderr=True)))
    for each in imported:
        if as_json:
            print_document(_document(each))
            continue
        for note in each.notes:
            click.echo(printable(f"{each.part}: {note}" if each.part else note), err=True)
        print_line(each.run_id)


def _document(imported: Imported) -> dict[str, object]:
    return {
        "run_id": imported.run_id,
        "format": imported.format_name,
        "part": imported.part,
        "records": imported.records,
        "faults": imported.faults,
        "notes": list(imported.notes),
    }
