"""`microservo`: the group of all commands, its global options, and how errors become exit codes."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from microservo.cli.session import Session
from microservo.errors import InvalidInput, MicroServoError, Unavailable
from microservo.packages import check_packages

_SILENT = logging.NullHandler()
OK, FAILURE, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130

# Each command is loaded when it is called: `--help` and completion stay quick.
COMMANDS: Mapping[str, str] = {
    "demo": "microservo.cli.demo:demo",
    "up": "microservo.cli.up:up",
    "target": "microservo.cli.target:target",
    "fault": "microservo.cli.fault:fault",
    "subscribe": "microservo.cli.subscribe:subscribe",
    "topics": "microservo.cli.topics:topics",
    "runs": "microservo.cli.runs:runs",
    "dataset": "microservo.cli.dataset:dataset",
    "doctor": "microservo.cli.doctor:doctor",
    "completion": "microservo.cli.completion:completion",
}


class RootGroup(click.Group):
    """Loads commands lazily, in the order of `COMMANDS`, and turns errors into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def main(  # type: ignore[override]  # the overloads differ only in whether it returns, and this does not
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Runs a command line and ends the process with its exit code."""
        sys.exit(self._exit_code(args, **{**extra, "standalone_mode": False}))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read us has enough; Python would complain once more while it closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(OK)
        except MicroServoError as error:
            if ctx.params.get("verbose"):
                traceback.print_exc()
            _complain(str(error))
            ctx.exit(_code_of(error))

    def _exit_code(self, args: Sequence[str] | None, **extra: Any) -> int:
        try:
            result = super().main(args, "microservo", **extra)
        except click.UsageError as error:
            _complain(error.format_message())
            if error.ctx is not None:
                click.echo(f"try '{error.ctx.command_path} --help'", err=True)
            return USAGE
        except click.ClickException as error:
            _complain(error.format_message())
            return FAILURE
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        return result if isinstance(result, int) else OK


def main() -> None:
    """The console script."""
    # A shell script has what it starts in the background ignore SIGINT; here it always means: end in order.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        check_packages()
    except MicroServoError as error:
        _complain(str(error))
        sys.exit(_code_of(error))
    cli.main()


def _complain(message: str) -> None:
    click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True)


def _code_of(error: MicroServoError) -> int:
    if isinstance(error, InvalidInput):
        return USAGE
    return UNAVAILABLE if isinstance(error, Unavailable) else FAILURE


@click.group(
    cls=RootGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Exit codes: 0 done · 1 failed · 2 refused (usage or input) · 3 something needed is not there ·
130 interrupted.""",
)
@click.option(
    "--bootstrap-servers", metavar="HOST:PORT,...", help="Kafka to use instead of the running system's."
)
@click.option("--topic-prefix", metavar="TEXT", help="Put before every topic name.")
@click.option("--system", metavar="NAME", help="A system that runs on this machine, if not 'default'.")
@click.option("-v", "--verbose", is_flag=True, help="Show warnings, and tracebacks of errors.")
@click.version_option(package_name="microservo")
@click.pass_context
def cli(
    ctx: click.Context,
    bootstrap_servers: str | None,
    topic_prefix: str | None,
    system: str | None,
    *,
    verbose: bool,
) -> None:
    """Break a microservice system, watch it, label it, and keep the data.

    \b
    A first look, start to end in about five minutes:
      microservo demo --seed 7 --faults 6 --out ./dataset

    \b
    Or keep a system running, and do the three everyday acts from a second terminal:
      microservo up
      microservo fault request network-delay --target service=cartservice \\
          --param latency=300ms --duration 20s --wait
      microservo subscribe labelled-windows --from latest
      microservo dataset rebuild --run latest --out ./dataset

    \b
    Any Kafka will do instead of the embedded one:
      microservo --bootstrap-servers kafka:9092 topics ensure
    SASL and TLS are set by environment variables such as MICROSERVO_SECURITY_PROTOCOL.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    if not verbose:
        # Without any handler Python prints warnings on stderr, where people expect our one line.
        logging.getLogger().addHandler(_SILENT)
    if not isinstance(ctx.obj, Session):
        ctx.obj = Session(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix, system=system)
