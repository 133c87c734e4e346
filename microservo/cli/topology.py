"""`microservo topology`: the systems that a target can be, and who calls whom in one."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from collections.abc import Iterator

import click

from microservo.application.topologies import (
    ListTopologies,
    ServiceSummary,
    ShowTopology,
    TopologyDescription,
    TopologySummary,
)
from microservo.cli.completions import complete_topology
from microservo.cli.output import print_document, print_line, print_table
from microservo.cli.session import Session, pass_session
from microservo.cli.text import styled

_MIB = 2**20
_SERVICE_COLUMNS = ("wave", "service", "type", "order", "instances", "label", "endpoints")


@click.group()
def topology() -> None:
    """List and show the systems that `up`, `demo` and `target` can run with --topology.

    \b
    Examples:
      microservo topology list
      microservo topology show sock-shop
    """


@topology.command("list")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def list_topologies(session: Session, *, as_json: bool) -> None:
    """Show the topologies that come with MicroServo, and what each takes of this machine.

    \b
    Examples:
      microservo topology list
      microservo topology list --json | jq -r .name
    """
    found = session.execute(ListTopologies())
    if as_json:
        for each in found:
            print_document(each)
        return
    columns = ("topology", "services", "of them databases", "calls", "journeys", "users come to", "memory")
    print_table(columns, map(_summary_row, found))


@topology.command()
@click.argument("name", metavar="NAME|FILE.toml", shell_complete=complete_topology)
@click.option("--json", "as_json", is_flag=True, help="JSON, one document.")
@pass_session
def show(session: Session, name: str, *, as_json: bool) -> None:
    """Show the services of a topology in the order of their launch, who calls whom, and what users do.

    What is of one wave is launched at once, when all waves before it run.

    \b
    Examples:
      microservo topology show sock-shop
      microservo topology show ./mine.toml --json
    """
    found = session.execute(ShowTopology(name=name))
    if as_json:
        print_document(found)
        return
    summary = found.summary
    print_line(
        styled(summary.name, bold=True),
        f": {summary.services} services, users come to {summary.entry}, {_memory(summary)}",
    )
    if found.launch_problem:
        print_line(styled("not to be launched in waves: ", fg="yellow"), found.launch_problem)
    print_table(_SERVICE_COLUMNS, map(_service_row, found.services))
    for line in _graph(found):
        print_line(line)
    print_table(
        ("journey", "share", "steps"),
        [(each.name, f"{each.share:.1%}", ", ".join(each.steps)) for each in found.journeys],
    )


def _summary_row(summary: TopologySummary) -> tuple[str, ...]:
    return (
        summary.name,
        str(summary.services),
        str(summary.databases),
        str(summary.calls),
        str(summary.journeys),
        summary.entry,
        _memory(summary),
    )


def _service_row(service: ServiceSummary) -> tuple[str, ...]:
    return (
        "-" if service.wave is None else str(service.wave),
        service.name,
        service.type,
        str(service.launch_order),
        str(service.replicas),
        service.output_label or "-",
        ", ".join(service.endpoints),
    )


def _graph(found: TopologyDescription) -> Iterator[str]:
    """Who calls whom as a tree from the entry; a service whose calls were shown before is marked."""
    calls = {each.name: each.calls for each in found.services}
    shown: set[str] = set()

    def below(name: str, indent: str) -> Iterator[str]:
        shown.add(name)
        for number, callee in enumerate(calls[name], start=1):
            is_last = number == len(calls[name])
            again = callee in shown and bool(calls[callee])
            yield f"{indent}{'└─' if is_last else '├─'} {callee}{' (above)' if again else ''}"
            if not again:
                yield from below(callee, indent + ("   " if is_last else "│  "))

    yield found.summary.entry
    yield from below(found.summary.entry, "")


def _memory(summary: TopologySummary) -> str:
    return f"{summary.memory_bytes / _MIB:,.0f} MiB"
