"""`microservo dataset import`: a recording of others, as a run on the topics."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import re
from pathlib import Path

import click

from microservo.application.datasets import ImportRecording
from microservo.cli.output import console, print_document, print_line
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.signals import handled_signals
from microservo.domain.text import printable

_FORMATS = ("auto", "nezha", "rcaeval", "nab", "otlp-json")


class SpeedType(click.ParamType):
    """How fast time passes, such as 60x."""

    name = "speed"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds of the recording in a second."""
        found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)x", value)
        if found is None or float(found[1]) <= 0:
            self.fail(f"{value!r} is no speed; write how many times as fast as it was, for example 60x")
        return float(found[1])


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path), metavar="PATH")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(_FORMATS),
    default="auto",
    show_default=True,
    help="What PATH is; auto looks.",
)
@click.option(
    "--speed", type=SpeedType(), metavar="60x", help="No faster than that; as fast as it goes else."
)
@click.option("--run", "run_id", metavar="ID", help="Go on with an import that was interrupted.")
@click.option("--json", "as_json", is_flag=True, help="What became of it, as a JSON document.")
@pass_session
def import_recording(
    session: Session, *, path: Path, format_name: str, speed: float | None, run_id: str | None, as_json: bool
) -> None:
    """Put a recording of others onto the topics, as a run, and print its id.

    All of PATH, a folder or an archive, is read before anything is published; what can't be
    read is named by file and row. Records keep their times, labels become declared faults, as
    exact as they say, and their effects are measured. What was odd, and what was made of it,
    is said.

    \b
    Formats, and what one run is made of:
      rcaeval     a case: <service>_<fault>/<n> with inject_time.txt; no end of the fault
      nezha       the days in construct_data and rca_data; no ends of faults
      nab         data/<service>/<signal>.csv and labels/combined_windows.json
      otlp-json   *.json, *.jsonl: a request a line, as OpenTelemetry's collector
                  writes them; no faults

    \b
    Examples:
      microservo dataset import ./RE2-OB/cartservice_cpu/1
      microservo dataset import ./nezha.tar.gz --format nezha --speed 60x
      microservo dataset rebuild --run latest --out ./dataset
    """
    command = ImportRecording(path=path, format_name=format_name, speed=speed, run_id=run_id)
    # A second signal ends this process at once, and its collector with it: no child outlives its supervisor.
    with handled_signals(lambda: None):
        imported = session.execute(command, TerminalProgress(console(stderr=True)))
    if as_json:
        print_document(
            {
                "run_id": imported.run_id,
                "format": imported.format_name,
                "records": imported.records,
                "faults": imported.faults,
                "notes": list(imported.notes),
            }
        )
        return
    for note in imported.notes:
        click.echo(printable(note), err=True)
    print_line(imported.run_id)
