"""`microservo collect`: a past range of stores, as a run of its own."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from microservo.application.given import instant_us
from microservo.cli.output import console, print_document, print_line, print_table
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.signals import handled_signals
from microservo.cli.times import date_time
from microservo.cli.values import InstantType
from microservo.domain.completeness import MINUTE_US, Stretch, stretches
from microservo.system.collecting import Collection
from microservo.system.options import declared_sources

_COLUMNS = ("source", "from", "minutes", "standing", "there", "points", "lines", "spans", "refused")


@click.command()
@click.option("--from", "begin", type=InstantType(), required=True, help="Where the range begins.")
@click.option("--to", "end", type=InstantType(), required=True, help="Where it ends.")
@click.option(
    "--source",
    "named",
    multiple=True,
    metavar="KIND=ADDRESS",
    help="What to read, for example prometheus=http://127.0.0.1:9090. May be given for several.",
)
@click.option(
    "--sources",
    "sources_file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE.toml",
    help="The same with all that can be said of sources, as [[source]] tables.",
)
@click.option("--run", "run_id", metavar="ID", help="Go on with a collection that was interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document per source and minute.")
@pass_session
def collect(
    session: Session,
    *,
    begin: datetime,
    end: datetime,
    named: tuple[str, ...],
    sources_file: Path | None,
    run_id: str | None,
    as_json: bool,
) -> None:
    """Read a past range of stores into a run of its own, and say how complete it is.

    The run is finished at the end, and `dataset rebuild` makes its dataset. Ranges are of whole minutes. What
    was read stays when this is interrupted; called again with --run it goes on there. Of a run that is
    finished --run shows the report.

    \b
    Examples:
      microservo collect --from -2h --to -1h --source prometheus=http://127.0.0.1:9090
      microservo collect --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z --sources sources.toml --json
      microservo dataset rebuild --run run-20260201-080000-ab12 --out ./dataset
    """
    collection = Collection(
        session.connection(),
        declared_sources(named, sources_file),
        from_us=instant_us(begin),
        until_us=instant_us(end),
        run_id=run_id,
        progress=TerminalProgress(console(stderr=True)),
    )
    with handled_signals(collection.kill), collection:
        collected = collection.collect()
    if as_json:
        for minute in collected.minutes:
            print_document(minute)
        return
    found = stretches(collected.minutes)
    print_table(_COLUMNS, map(_row, found))
    for each in found:
        for query in each.left_out:
            print_line(f"{each.source} can't answer {query}")
    print_line(collected.run_id)


def _row(stretch: Stretch) -> tuple[str, ...]:
    minutes = (stretch.end_us - stretch.start_us) // MINUTE_US
    return (
        stretch.source,
        date_time(stretch.start_us),
        str(minutes),
        stretch.standing,
        f"{stretch.held} of {stretch.due}",
        str(stretch.metrics),
        str(stretch.logs),
        str(stretch.spans),
        str(stretch.refused),
    )
