"""`microservo up`: the whole system, until Ctrl-C."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click

from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, console, pass_session
from microservo.cli.signals import orderly_end, wait_for_end
from microservo.cli.system_options import chosen_name, options_of, system_options
from microservo.supervision.system_file import DEFAULT_SYSTEM
from microservo.system import EmbeddedSystem

OTLP_PORT = 4318
"""Where the SDKs of OpenTelemetry send by default."""


@click.command()
@click.option("--name", help="Name of the system; systems of different names run side by side.")
@system_options
@click.option(
    "--otlp-port",
    type=click.IntRange(min=0, max=65535),
    default=OTLP_PORT,
    show_default=True,
    help="Where to take OTLP/HTTP; another free port if that is taken, and for 0.",
)
@pass_session
def up(
    session: Session,
    *,
    name: str | None,
    seed: int,
    journeys_per_s: float,
    partitions: int,
    topology: str,
    otlp_port: int,
) -> None:
    """Run the whole system on this machine until Ctrl-C.

    Broker, target system under load, telemetry, labelled windows, detectors and fault injector. What lies on
    the topics stays for the next start.

    \b
    Examples:
      microservo up
      microservo up --name second --journeys-per-s 4
      microservo --bootstrap-servers kafka:9092 up
    """
    options = options_of(
        session,
        name=chosen_name(name, session.system, DEFAULT_SYSTEM),
        seed=seed,
        journeys_per_s=journeys_per_s,
        partitions=partitions,
        topology=topology,
        otlp_port=otlp_port,
    )
    screen = console()
    system = EmbeddedSystem(options, TerminalProgress(screen))
    with orderly_end(system.kill), system:
        system.start()
        screen.print(_welcome(system))
        # The way `up` ends: this run is no aborted one.
        wait_for_end(screen, system.finish_run)


def _welcome(system: EmbeddedSystem) -> str:
    which = "" if system.options.name == "default" else f" --system {system.options.name}"
    return f"""
[bold green]{system.run_id} is running[/]: broker {system.file.bootstrap_servers}, OTLP {system.file.otlp_url}
logs in {system.file.log_dir}

From another terminal:
  microservo{which} fault request network-delay --target service=cartservice \\
      --param latency=300ms --duration 20s --wait
  microservo{which} subscribe labelled-windows
  microservo{which} dataset rebuild --run latest --out ./dataset

Ctrl-C stops everything."""
