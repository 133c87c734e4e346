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
from types import TracebackType
from typing import Any, NoReturn

import click

from microservo.cli.output import print_error
from microservo.cli.session import Session
from microservo.cli.standard_output import OutputFailed, ReaderGone, guard_standard_streams
from microservo.domain.text import printable
from microservo.errors import InvalidInput, MicroServoError, Unavailable

_SILENT = logging.NullHandler()
OK, FAILURE, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130

# Each command is loaded when it is called: `--help` and completion stay quick.
COMMANDS: Mapping[str, str] = {
    "demo": "microservo.cli.demo:demo",
    "up": "microservo.cli.up:up",
    "down": "microservo.cli.down:down",
    "target": "microservo.cli.target:target",
    "topology": "microservo.cli.topology:topology",
    "manage": "microservo.cli.manage:manage",
    "policy": "microservo.cli.policy:policy",
    "fault": "microservo.cli.fault:fault",
    "schedule": "microservo.cli.schedule:schedule",
    "campaign": "microservo.cli.campaign:campaign",
    "algorithm": "microservo.cli.algorithm:algorithm",
    "board": "microservo.cli.board:board",
    "subscribe": "microservo.cli.subscribe:subscribe",
    "topics": "microservo.cli.topics:topics",
    "runs": "microservo.cli.runs:runs",
    "collect": "microservo.cli.collect:collect",
    "dataset": "microservo.cli.dataset:dataset",
    "catalogue": "microservo.cli.catalogue:catalogue",
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
        except (MicroServoError, OSError) as error:
            if ctx.params.get("verbose"):
                _print_traceback(type(error), error, error.__traceback__)
            # Only what is not there may need more than a line: the end of the log of what did not start.
            print_error(_message(error), lines=isinstance(error, Unavailable))
            ctx.exit(_code_of(error))

    def _exit_code(self, args: Sequence[str] | None, **extra: Any) -> int:
        try:
            _refuse_bytes(sys.argv[1:] if args is None else args)
            result = super().main(args, "microservo", **extra)
            sys.stdout.flush()
        except ReaderGone:
            return OK
        except OutputFailed as error:  # while help was printed
            print_error(str(error))
            return FAILURE
        except click.UsageError as error:
            print_error(error.format_message())
            if error.ctx is not None:
                print(f"try '{error.ctx.command_path} --help'", file=sys.stderr)
            return USAGE
        except click.ClickException as error:
            print_error(error.format_message())
            return FAILURE
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        return result if isinstance(result, int) else OK


def run() -> None:
    """Runs the command line of this process."""
    # A shell script has what it starts in the background ignore SIGINT; here it always means: end in order.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    guard_standard_streams()
    sys.excepthook = _print_traceback
    cli.main()


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """Refuses arguments that are no text: some libraries below end the process at them."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            msg = f"argument {argument!r} is not UTF-8; give text, and folders with names that are text"
            raise click.UsageError(msg) from None


def _warnings() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_PrintableFormatter())
    return handler


class _PrintableFormatter(logging.Formatter):
    """Log lines for a terminal: warnings quote what others wrote."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


def _print_traceback(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    """Prints where an error comes from, made safe: it may quote what others wrote."""
    for line in "".join(traceback.format_exception(kind, error, where)).splitlines():
        print(printable(line), file=sys.stderr)


def _message(error: MicroServoError | OSError) -> str:
    """What went wrong; an error of the operating system is put as ours are."""
    if isinstance(error, MicroServoError):
        return str(error)
    what = (error.strerror or str(error) or type(error).__name__).lower()
    where = f" {os.fsdecode(error.filename)!r}" if isinstance(error.filename, str | bytes) else ""
    return f"the system refused{where}: {what}; --verbose shows where"


def _code_of(error: MicroServoError | OSError) -> int:
    if isinstance(error, InvalidInput):
        return USAGE
    return UNAVAILABLE if isinstance(error, Unavailable) else FAILURE


@click.group(
    cls=RootGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Exit codes: 0 done (also when a reader like `| head` has enough) - 1 failed (also when the output
can't be written) - 2 refused (usage or input) - 3 something needed is not there - 130 interrupted.""",
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
    A first look, start to end in about ten minutes:
      microservo demo --seed 7 --faults 6 --out ./dataset

    \b
    Or keep a system running, and do the everyday acts from a second terminal:
      microservo up
      microservo fault request network-delay --target service=cartservice \\
          --param latency=300ms --duration 20s --wait
      microservo subscribe labelled-windows --from latest
      microservo algorithm deploy robust-z --wait
      microservo dataset rebuild --run latest --out ./dataset

    \b
    Any Kafka will do instead of the embedded one:
      microservo --bootstrap-servers kafka:9092 topics ensure
    SASL and TLS are set by environment variables such as MICROSERVO_SECURITY_PROTOCOL.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    # Without any handler Python prints warnings on stderr, where people expect our one line.
    logging.getLogger().addHandler(_warnings() if verbose else _SILENT)
    if not isinstance(ctx.obj, Session):
        ctx.obj = Session(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix, system=system)
