"""`microservo doctor`: what this machine has, what each missing thing would add, and how to get it."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click

from microservo.application.cluster import CheckCluster
from microservo.application.machine import CheckMachine
from microservo.cli.output import print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.target_options import cluster_of, target_options
from microservo.cli.text import styled
from microservo.errors import Unavailable


@click.command()
@target_options
@pass_session
def doctor(
    session: Session,
    *,
    target: str,
    namespaces: tuple[str, ...],
    fault_namespaces: tuple[str, ...],
    context: str | None,
) -> None:
    """Show what this machine has, what each missing thing would add, and how to get it.

    With --target kubernetes, the same of a cluster. Ends with 3 if something is missing that nothing works
    without.

    \b
    Examples:
      microservo doctor
      microservo doctor --target kubernetes --namespace shop
    """
    cluster = cluster_of(target, namespaces, fault_namespaces, context)
    findings = session.execute(
        CheckMachine()
        if cluster is None
        else CheckCluster(
            namespaces=cluster.namespaces,
            fault_namespaces=cluster.fault_namespaces,
            context=cluster.context,
        )
    )
    columns = ("what", "found", "", "what it would add, and how to get it")
    rows = []
    for each in findings:
        mark = styled("less", fg="yellow")
        if each.fine:
            mark = styled("ok", fg="green")
        elif each.needed:
            mark = styled("missing", fg="red")
        rows.append((each.what, each.found, mark, "" if each.fine else each.advice))
    print_table(columns, rows)
    missing = [each.what for each in findings if each.needed and not each.fine]
    if missing:
        msg = f"missing: {', '.join(missing)}"
        raise Unavailable(msg)
