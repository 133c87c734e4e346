"""`microservo subscribe`: the records of a topic as they come."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Literal

import click

from microservo.application.documents import document
from microservo.application.topics import Subscribe
from microservo.cli.lines import line_of
from microservo.cli.output import print_document, print_line
from microservo.cli.session import Session, pass_session
from microservo.cli.values import StartType
from schemas.catalogue import catalogue


@click.command(epilog=f"Topics: {', '.join(catalogue())}; those that can go wrong have NAME-dlq too.")
@click.argument("topic")
@click.option(
    "--from",
    "start",
    type=StartType(),
    default="latest",
    show_default=True,
    help="Begin at the first message kept, after the last, or at an instant.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document per line.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N messages.")
@click.option("--until-end", is_flag=True, help="Stop after what is on the topic now.")
@click.option("--group", metavar="NAME", help="Share the topic with the other members of a group.")
@pass_session
def subscribe(
    session: Session,
    topic: str,
    start: datetime | Literal["earliest", "latest"],
    limit: int | None,
    group: str | None,
    *,
    as_json: bool,
    until_end: bool,
) -> None:
    """Print the records of TOPIC as they come, until Ctrl-C.

    \b
    Examples:
      microservo subscribe labelled-windows
      microservo subscribe fault-events --from earliest --until-end
      microservo subscribe anomaly-scores --from 2026-01-31T12:00:00Z --json | jq .record.score
    """
    command = Subscribe(topic=topic, start=start, until_end=until_end, group_id=group)
    with session.execute(command) as received:
        for each in islice(received, limit):
            if as_json:
                print_document(document(each))
            else:
                print_line(*line_of(each))
