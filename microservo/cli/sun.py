"""`microservo demo --scenario follow-the-sun`."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import click
from click.core import ParameterSource

from microservo.cli.output import console, print_line
from microservo.cli.progress import TerminalProgress
from microservo.cli.signals import handled_signals
from microservo.system.follow_the_sun import BERLIN, FollowTheSun
from microservo.system.options import SystemOptions
from microservo.system.regional import RegionalSystem
from microservo.system.sun_report import write_sun_report

FOLLOW_THE_SUN = "follow-the-sun"
"""The scenario, and the name of its system if no other is given."""


_OF_FAULTS = {
    "faults": "--faults",
    "with_twin": "--twin",
    "is_balanced": "--balanced",
    "topology": "--topology",
}


def refuse_options_of_faults() -> None:
    """Refuses options of `demo` that mean nothing to this scenario.

    Raises:
        click.UsageError: there is one.
    """
    context = click.get_current_context()
    for name, option in _OF_FAULTS.items():
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            msg = f"the scenario {FOLLOW_THE_SUN} has no faults and a topology of its own; leave {option} out"
            raise click.UsageError(msg)


def sun(options: SystemOptions, out_dir: Path | None) -> None:
    """Plays the scenario and writes its report; raises as `RegionalSystem.start` and `FollowTheSun.run`."""
    progress = TerminalProgress(console())
    # Hosts and containers are entities of a system, not of a run: one that ran here before has left its own.
    own_topics = f"{options.topic_prefix}{FOLLOW_THE_SUN}-{secrets.token_hex(4)}-"
    system = RegionalSystem(replace(options, topic_prefix=own_topics), progress)
    with handled_signals(system.kill), system:
        system.start(BERLIN.coordinates)
        result = FollowTheSun(system, progress).run()
    file = (out_dir or Path(FOLLOW_THE_SUN) / result.run_id) / "report.html"
    write_sun_report(file, result)
    print_line(f"waits     {result.before_ms:.0f} ms with services beside users (median)")
    print_line(f"          {result.away_ms:.0f} ms after the users had moved")
    print_line(f"          {result.after_ms:.0f} ms after the services had followed")
    print_line(f"topics    {own_topics}*")
    print_line(f"report    {file}")
