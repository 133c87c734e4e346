"""`microservo target`: the target system alone, until Ctrl-C."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from pathlib import Path

import click

from microservo.application.topics import DEFAULT_PARTITIONS
from microservo.cli.completions import complete_topology
from microservo.cli.output import console, print_line
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.signals import handled_signals, wait_for_signal
from microservo.cli.system_options import options_of
from microservo.supervision.system_file import DEFAULT_SYSTEM
from microservo.system.target import TargetOptions, TargetSystem


@click.command()
@click.option(
    "--topology",
    default="online-boutique",
    show_default=True,
    metavar="NAME|FILE.toml",
    shell_complete=complete_topology,
    help="Target system to run.",
)
@click.option(
    "--otlp",
    "otlp_url",
    default="http://127.0.0.1:4318",
    show_default=True,
    metavar="URL",
    help="Where its telemetry goes; it runs as well while nobody listens there.",
)
@click.option(
    "--state",
    "state_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("target/target.json"),
    show_default=True,
    show_envvar=True,
    envvar="MICROSERVO_TARGET_STATE",
    metavar="FILE",
    help="Written anew at every change; by it collector and injector find the processes. Logs lie beside it.",
)
@click.option(
    "--journeys-per-s",
    type=click.FloatRange(min=0, max=200),
    default=8.0,
    show_default=True,
    help="Users' journeys per second.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Of everything random in it.")
@click.option(
    "--run-id",
    envvar="MICROSERVO_RUN_ID",
    show_envvar=True,
    metavar="ID",
    help="Record this run on Kafka: begun now, ended at Ctrl-C. Without it no Kafka is needed.",
)
@click.option(
    "--health-port",
    type=click.IntRange(min=0, max=65535),
    envvar="MICROSERVO_HEALTH_PORT",
    show_envvar=True,
    help="Serve /healthz and /metrics here, once all runs.",
)
@pass_session
def target(
    session: Session,
    *,
    topology: str,
    otlp_url: str,
    state_file: Path,
    journeys_per_s: float,
    seed: int,
    run_id: str | None,
    health_port: int | None,
) -> None:
    """Run only the target system on this machine until Ctrl-C.

    Its services, a sidecar before each, and the load of its users: every one a process that is started again
    when it ends. Collector and fault injector are not part of it; they find it by the state file. `microservo
    up` runs all of it at once; this is for those who run each part on its own, as docker-compose.yml does.

    \b
    Examples:
      microservo target --state run/target.json
      microservo target --topology mine.toml --journeys-per-s 2
      microservo --bootstrap-servers kafka:9092 target --run-id monday-1
    """
    options = TargetOptions(
        otlp_url=otlp_url,
        state_file=state_file,
        run_id=run_id or None,
        health_port=health_port,
        system=options_of(
            session,
            name=DEFAULT_SYSTEM,
            seed=seed,
            journeys_per_s=journeys_per_s,
            partitions=DEFAULT_PARTITIONS,
            topology=topology,
        ),
    )
    system = TargetSystem(options, TerminalProgress(console()))
    with handled_signals(system.kill), system:
        system.start()
        print_line(f"the target is running; its state is in {state_file}. Ctrl-C stops it.")
        # The way a target ends: this run is no aborted one.
        wait_for_signal(system.finish_run)
