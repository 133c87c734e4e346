"""`microservo doctor`: what this machine has, what each missing thing would add, and how to get it."""

from __future__ import annotations

import click
from rich.table import Table

from microservo.cli.session import console
from microservo.errors import Unavailable
from microservo.system.machine import examine


@click.command()
def doctor() -> None:
    """Show what this machine has, what each missing thing would add, and how to get it.

    Ends with 3 if something is missing that nothing works without.
    """
    findings = examine()
    table = Table("what", "found", "", "what it would add, and how to get it")
    for each in findings:
        mark = "[green]ok[/]" if each.fine else "[red]missing[/]" if each.needed else "[yellow]less[/]"
        table.add_row(each.what, each.found, mark, "" if each.fine else each.advice)
    console().print(table)
    missing = [each.what for each in findings if each.needed and not each.fine]
    if missing:
        msg = f"missing: {', '.join(missing)}"
        raise Unavailable(msg)
