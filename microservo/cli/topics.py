"""`microservo topics`: what the contract says, and what the broker has."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click

from microservo.application.topics import DEFAULT_PARTITIONS, EnsureTopics, ListTopics, TopicStatus
from microservo.cli.output import print_line, print_table
from microservo.cli.session import Session, pass_session


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
    """Show every topic: what lies on it, its key, how much there is.

    \b
    Example:
      microservo topics list
    """
    rows = [
        (
            status.name,
            status.topic.kind,
            status.topic.key,
            str(status.state.partitions) if status.state else "missing",
            f"{status.messages:,}",
            status.topic.purpose,
        )
        for status in session.execute(ListTopics())
    ]
    print_table(("topic", "kind", "key", "partitions", "messages", "what"), rows)


@topics.command()
@click.argument("topic", required=False)
@pass_session
def describe(session: Session, topic: str | None) -> None:
    """Show all about TOPIC, or about every topic.

    \b
    Example:
      microservo topics describe labelled-windows
    """
    for number, status in enumerate(session.execute(ListTopics(name=topic))):
        if number:
            print_line()
        for line in _description(status):
            print_line(line)


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
    """Make the topics that are missing; leave the others as they are.

    \b
    Example:
      microservo --bootstrap-servers kafka:9092 topics ensure --partitions 12
    """
    made = session.execute(EnsureTopics(partitions=partitions))
    for name in made:
        print_line(f"made {name}")
    if not made:
        print_line("all topics are there")


def _description(status: TopicStatus) -> list[str]:
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
    return [status.name, *(f"  {name:<13}{value}" for name, value in lines.items())]
