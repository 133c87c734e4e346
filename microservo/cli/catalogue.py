"""`microservo catalogue`: the tables of SQL that the topics fill."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from microservo.application.catalogue import RebuildCatalogue, ShowCatalogue, VerifyCatalogue
from microservo.cli.output import console, print_document, print_line, print_table
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session

if TYPE_CHECKING:
    from microservo.application.catalogue import CatalogueStanding

_json = click.option("--json", "as_json", is_flag=True, help="JSON, one document.")


@click.group()
def catalogue() -> None:
    """See and make anew the tables of SQL that the topics fill.

    The database is named by MICROSERVO_CATALOGUE_URL: sqlite:////folder/file,
    postgresql://user:password@host/name or mariadb://user:password@host/name. Where it is set, `runs` and
    `fault list` read it as long as it has all that the topics hold; otherwise they read the topics, and
    `microservo --verbose` says so.

    \b
    Examples:
      microservo catalogue rebuild
      microservo catalogue show
      microservo catalogue verify
    """


@catalogue.command()
@_json
@pass_session
def show(session: Session, *, as_json: bool) -> None:
    """Show what the catalogue holds, and how far behind the topics it is.

    \b
    Example:
      microservo catalogue show --json | jq .rows.faults
    """
    _print(session.execute(ShowCatalogue()), as_json=as_json)


@catalogue.command()
@click.option("--replace", is_flag=True, help="Drop the tables that are there first.")
@_json
@pass_session
def rebuild(session: Session, *, replace: bool, as_json: bool) -> None:
    """Fill the catalogue from the topics.

    A projector that runs meanwhile goes on behind it. Only tables of the catalogue are dropped.

    \b
    Examples:
      microservo catalogue rebuild
      microservo catalogue rebuild --replace
    """
    progress = TerminalProgress(console(stderr=True))
    _print(session.execute(RebuildCatalogue(replace=replace), progress), as_json=as_json)


@catalogue.command()
@pass_session
def verify(session: Session) -> None:
    """Compare all rows with those of a catalogue that is made of the topics now.

    It fails where they differ. The other one is made in a temporary SQLite database.

    \b
    Example:
      microservo catalogue verify
    """
    found = session.execute(VerifyCatalogue(), TerminalProgress(console(stderr=True)))
    if found:
        raise click.ClickException("; ".join(found))
    print_line("the catalogue has the rows that the topics give")


def _print(standing: CatalogueStanding, *, as_json: bool) -> None:
    if as_json:
        print_document(standing)
        return
    print_line(standing.place)
    print_table(("table", "rows"), [(name, str(count)) for name, count in standing.rows.items()])
    behind = {name: each.end - each.read for name, each in standing.topics.items() if each.end > each.read}
    for name, count in behind.items():
        print_line(f"{name}: {count} messages are not in it yet")
    if not behind:
        print_line("all that the topics hold is in it")
