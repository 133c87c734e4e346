"""`microservo up`: the whole system, until Ctrl-C."""
# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from pathlib import Path

import click

from microservo.cli.output import console, print_line
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.signals import handled_signals, wait_for_signal
from microservo.cli.system_options import chosen_name, options_of, system_options
from microservo.cli.target_options import KUBERNETES, cluster_of, target_options
from microservo.cli.text import styled
from microservo.cli.values import DelayType, DurationType
from microservo.errors import InvalidInput
from microservo.supervision.system_file import DEFAULT_SYSTEM
from microservo.system import EmbeddedSystem
from microservo.system.hosts import THREE_REGIONS, HostOptions, hosts_in
from microservo.system.options import declared_sources

OTLP_PORT, OTLP_GRPC_PORT = 4318, 4317
"""Where the SDKs of OpenTelemetry send by default."""


@click.command()
@click.option("--name", help="Name of the system; systems of different names run side by side.")
@system_options
@target_options
@click.option(
    "--otlp-host",
    help="Address to take OTLP on; 0.0.0.0 takes it from other machines, as those of a cluster.",
)
@click.option(
    "--otlp-port",
    type=click.IntRange(min=0, max=65535),
    default=OTLP_PORT,
    show_default=True,
    help="Where to take OTLP/HTTP; another free port if that is taken, and for 0.",
)
@click.option(
    "--otlp-grpc-port",
    type=click.IntRange(min=0, max=65535),
    default=OTLP_GRPC_PORT,
    show_default=True,
    help="Where to take OTLP/gRPC; another free port if that is taken, and for 0.",
)
@click.option(
    "--fault-free",
    "fault_free_s",
    type=DurationType(),
    default="2m",
    show_default=True,
    metavar="DURATION",
    help="How long nothing is to be injected; thresholds are found in that time, the longer the better.",
)
@click.option(
    "--delay",
    "delays",
    type=DelayType(),
    multiple=True,
    metavar="SERVICE=DURATION",
    help="How late a service's telemetry comes: its windows wait that much longer. May be given for several; "
    "of others it is learned.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="KIND=ADDRESS",
    help="What to read beside OTLP, for example prometheus=http://127.0.0.1:9090. May be given for several.",
)
@click.option(
    "--sources",
    "sources_file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE.toml",
    help="The same with all that can be said of sources, as [[source]] tables.",
)
@click.option(
    "--managed",
    is_flag=True,
    help="A manager launches the target on hosts in Europe, North America and Asia, and keeps it running; "
    "`microservo manage` asks it for moves and more.",
)
@click.option(
    "--hosts",
    "hosts_file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE.toml",
    help="With --managed: on these hosts instead, as [[host]] tables.",
)
@click.option(
    "--catalogue/--no-catalogue",
    default=True,
    show_default=True,
    help="Whether lists and SQL have a database to read: SQLite in the system's folder, or what "
    "MICROSERVO_CATALOGUE_URL names.",
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
    target: str,
    namespaces: tuple[str, ...],
    fault_namespaces: tuple[str, ...],
    context: str | None,
    otlp_host: str | None,
    otlp_port: int,
    otlp_grpc_port: int,
    fault_free_s: float,
    delays: tuple[tuple[str, int], ...],
    sources: tuple[str, ...],
    sources_file: Path | None,
    managed: bool,
    hosts_file: Path | None,
    catalogue: bool,
) -> None:
    """Run the whole system on this machine until Ctrl-C.

    Broker, target system under load, telemetry, labelled windows, fault injector, and the algorithms that are
    deployed. What lies on the topics stays for the next start, and so do they. With --target kubernetes the
    target is what runs in a cluster already: docs/kubernetes.md. With --managed a master manager places the
    target on hosts of several regions on this machine, and regions with containers get a registry, a load
    balancer (where nginx is installed) and a worker: docs/manager.md.

    \b
    Examples:
      microservo up
      microservo up --name second --journeys-per-s 4
      microservo up --fault-free 10m
      microservo up --delay jshop=5s
      microservo up --source prometheus=http://127.0.0.1:9090
      microservo up --no-catalogue
      microservo --bootstrap-servers kafka:9092 up
      microservo up --managed
      microservo up --managed --hosts hosts.toml
      microservo up --target kubernetes --namespace shop --otlp-host 0.0.0.0
    """
    options = options_of(
        session,
        name=chosen_name(name, session.system, DEFAULT_SYSTEM),
        seed=seed,
        journeys_per_s=journeys_per_s,
        partitions=partitions,
        topology=topology,
        cluster=cluster_of(target, namespaces, fault_namespaces, context),
        otlp_host=otlp_host,
        otlp_port=otlp_port,
        otlp_grpc_port=otlp_grpc_port,
        fault_free_s=fault_free_s,
        delays_us=dict(delays),
        sources=declared_sources(sources, sources_file),
        hosts=_hosts(target, hosts_file, is_managed=managed),
        catalogue=catalogue,
    )
    system = EmbeddedSystem(options, TerminalProgress(console()))
    with handled_signals(system.kill), system:
        system.start()
        _welcome(system)
        # The way `up` ends: this run is no aborted one.
        wait_for_signal(system.finish_run)


def _hosts(target: str, file: Path | None, *, is_managed: bool) -> tuple[HostOptions, ...]:
    if not is_managed and file is None:
        return ()
    if not is_managed:
        msg = "--hosts names the hosts of a managed target; add --managed, or leave it out"
        raise InvalidInput(msg)
    if target == KUBERNETES:
        msg = "--managed is for a target on this machine; leave it out, or take --target local"
        raise InvalidInput(msg)
    return THREE_REGIONS if file is None else hosts_in(file)


def _welcome(system: EmbeddedSystem) -> None:
    """Prints where everything is, and what can be done from another terminal."""
    which = "" if system.options.name == "default" else f" --system {system.options.name}"
    print_line()
    where = f": broker {system.file.bootstrap_servers}, OTLP {system.file.otlp_url}"
    print_line(styled(f"{system.run_id} is running", fg="green", bold=True), where)
    print_line(f"OTLP over gRPC: 127.0.0.1:{system.file.ports['otlp-grpc']}")
    print_line(f"logs in {system.file.log_dir}")
    for line in (_NEXT + (_MANAGED if system.options.hosts else "") + _END).splitlines():
        print_line(line.replace("microservo", f"microservo{which}"))


_NEXT = """
From another terminal:
  microservo fault request network-delay --target service=cartservice \\
      --param latency=300ms --duration 20s --wait
  microservo subscribe labelled-windows
  microservo algorithm deploy robust-z --wait
  microservo dataset rebuild --run latest --out ./dataset
"""
_MANAGED = """  microservo manage list container
  microservo manage migrate CONTAINER --at 35.7,139.7 --wait
  microservo manage events --follow
"""
_END = """
Ctrl-C stops everything, and so does `microservo down`."""
