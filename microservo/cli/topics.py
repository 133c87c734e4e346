"""`microservo topics`: what the contract says, and what the broker has."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click
from rich.table import Table

from microservo.cli.session import Session, console, pass_session
from microservo.errors import InvalidInput
from microservo.log.topics import DEFAULT_PARTITIONS, TopicStatus


@click.group()
def topics() -> None:
    """List, describe and make the topics of the contract.

    \b
    Examples:
      microservo topics list
      microservo topics describe labelled-windows
      microservo --bootstrap-servers kafka:9092 topics ensure --partitions 12
    """


@topics.command("list")
@pass_session
def list_topics(session: Session) -> None:
    """Show every topic: what lies on it, its key, how much there is."""
    table = Table("topic", "kind", "key", "partitions", "messages", "what")
    for status in session.client().topics():
        partitions = str(status.state.partitions) if status.state else "missing"
        topic = status.topic
        table.add_row(status.name, topic.kind, topic.key, partitions, f"{status.messages:,}", topic.purpose)
    console().print(table)


@topics.command()
@click.argument("topic", required=False)
@pass_session
def describe(session: Session, topic: str | None) -> None:
    """Tell all about TOPIC, or about every topic."""
    found = session.client().topics()
    chosen = [status for status in found if topic in (None, status.topic.name, status.name)]
    if not chosen:
        msg = f"there is no topic {topic!r}; choose one of {', '.join(each.topic.name for each in found)}"
        raise InvalidInput(msg)
    click.echo("\n\n".join(_description(status) for status in chosen))


@topics.command()
@click.option(
    "--partitions",
    type=click.IntRange(min=1),
    default=DEFAULT_PARTITIONS,
    show_default=True,
    help="Partitions of each topic whose number the contract leaves open.",
)
@pass_session
def ensure(session: Session, partitions: int) -> None:
    """Make the topics that are missing; leave the others as they are."""
    made = session.client().ensure_topics(partitions)
    for name in made:
        click.echo(f"made {name}")
    if not made:
        click.echo("all topics are there")


def _description(status: TopicStatus) -> str:
    topic, state = status.topic, status.state
    lines = {
        "purpose": topic.purpose,
        "kind": topic.kind,
        "key": topic.key,
        "records": ", ".join(f"{record} (schemas/avsc/{record}.v*.avsc)" for record in topic.records),
        "kept": topic.retention,
        "written by": ", ".join(topic.producers),
        "read by": ", ".join(topic.consumers),
        "joined": "yes, every message is stamped" if topic.joined else "no",
        "dead letters": f"{status.name}-dlq" if topic.dead_letters else "none",
        "partitions": str(state.partitions) if state else "missing; `microservo topics ensure` makes it",
        "messages": f"{status.messages:,}",
    }
    return "\n".join([status.name, *(f"  {name:<13}{value}" for name, value in lines.items())])
