"""`microservo down`: ends what `microservo up` runs in another terminal."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click

from microservo.cli.output import print_line
from microservo.cli.session import Session, pass_session
from microservo.cli.system_options import chosen_name
from microservo.cli.values import DurationType
from microservo.errors import Unavailable
from microservo.supervision.stopping import stop_system
from microservo.supervision.system_file import DEFAULT_SYSTEM, running_system


@click.command()
@click.option("--name", help="Name of the system.")
@click.option(
    "--timeout",
    "timeout_s",
    type=DurationType(),
    default="3m",
    show_default=True,
    metavar="DURATION",
    help="How long to wait until all of it has ended.",
)
@pass_session
def down(session: Session, *, name: str | None, timeout_s: float) -> None:
    """End a system that runs in another terminal, in order, as Ctrl-C there does.

    What lies on the topics stays for the next start. Said again while it ends, everything ends at once.

    \b
    Examples:
      microservo down
      microservo down --name second
    """
    name = chosen_name(name, session.system, DEFAULT_SYSTEM)
    system = running_system(name)
    if system is None:
        msg = f"no system called {name!r} runs on this machine; start one with `microservo up`"
        raise Unavailable(msg)
    stop_system(system, timeout_s)
    print_line(f"{system.run_id} has ended, with all that it started")
