"""`microservo algorithm logs`: what is written about a deployed algorithm where it runs."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import json
from pathlib import Path

import click

from microservo.application.algorithm_logs import LogLine, ReadAlgorithmLogs
from microservo.cli.completions import FOLDER_VARIABLE, complete_deployed
from microservo.cli.output import print_document, print_line
from microservo.cli.session import Session, pass_session
from microservo.cli.text import styled


@click.command()
@click.argument("name", shell_complete=complete_deployed)
@click.option("-f", "--follow", is_flag=True, help="Also what is written from now on, until Ctrl-C.")
@click.option("--version", type=click.IntRange(min=1), metavar="NUMBER", help="Not the newest version.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar=FOLDER_VARIABLE,
    help="Folder of the algorithm runner, if not that of the running system.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def logs(
    session: Session,
    name: str,
    *,
    follow: bool,
    version: int | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Show what was written about the algorithm NAME, on the machine where it runs.

    Lines of `build` are pip's, while its environment was built; those of `host` are of the process that feeds
    it, with times in UTC; those of `algorithm` it has printed itself.

    \b
    Examples:
      microservo algorithm logs mine
      microservo algorithm logs -f mine
      docker compose exec algorithm-runner microservo algorithm logs mine
    """
    command = ReadAlgorithmLogs(name=name, version=version, follow=follow, folder=folder)
    for line in session.execute(command):
        if as_json:
            print_document(line)
        else:
            for text in _readable(line):
                print_line(styled(f"{line.source:<9} ", dim=True), text)


def _readable(line: LogLine) -> list[str]:
    """The line as people read it: of a document of a host's, when, how bad, what, and where it came from."""
    try:
        found = json.loads(line.text) if line.source == "host" else None
        if isinstance(found, dict):
            head = f"{str(found['ts'])[11:19]} {found['level']} {found['message']}"
            return [head, *str(found.get("exception", "")).splitlines()]
    except (ValueError, KeyError):
        pass
    return [line.text]
