"""What standard output and a terminal do to the command line, and what unowned' text can't do."""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from fault_states import state_of
from rich.console import Console

from microservo.cli.progress import TerminalProgress
from microservo.domain.text import printable
from microservo.testing import MemoryBroker
from schemas.records import Experiment, FaultEvent

Run = Callable[..., Result]
Put = Callable[..., None]
NOON_US = 1_800_000_000_000_000
COMMAND = (sys.executable, "-c", "from microservo.cli import main; main()")
HOSTILE = "cart\x1b[2J\x1b]0;owned\x07\r\n12:00:00  recovered\u202egnp\x9b31m\x7f"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MICROSERVO_")}
    return {**kept, "MICROSERVO_HOME": str(tmp_path)}


def an_event(**changed: str) -> FaultEvent:
    return FaultEvent(
        run_id="run-1",
        fault_id=changed.get("fault_id", "f-1"),
        version=2,
        kind=changed.get("kind", "cpu-hog"),
        service=changed.get("service", "cart"),
        instance=changed.get("instance", "cart-0"),
        state="failed",
        at_us=NOON_US,
        requested_at_us=NOON_US,
        duration_us=1_000_000,
        parameters={},
        reason=changed.get("reason", ""),
    )


def is_safe(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    "character", [*map(chr, [*range(32), 127, *range(128, 160), 0x202E, 0x2066, 0x2028])]
)
def test_no_character_that_controls_a_terminal_stays(character: str) -> None:
    assert printable(f"a{character}b").isprintable()
    assert printable(f"a{character}b") != "ab"


def test_names_in_any_script_stay_as_they_are() -> None:
    for text in ("cartservice", "Größe 10 €", "カート", "سلة", "👩‍💻", r"C:\cart"):
        assert printable(text) == text
    assert printable("half \ud83d") == r"half \ud83d"


@pytest.mark.parametrize("field", ["service", "instance", "kind", "fault_id", "reason"])
def test_a_table_and_a_line_show_hostile_names_as_escapes(run: Run, put: Put, field: str) -> None:
    event = an_event(**{field: HOSTILE}, **({"instance": ""} if field == "service" else {}))
    put("fault-events", "f-1", event)
    put("faults", "f-1", state_of(event))
    table = run("fault", "list").stdout
    line = run("subscribe", "fault-events", "--from", "earliest", "--until-end").stdout
    assert (is_safe(table), is_safe(line), line.count("\n")) == (True, True, 1)
    assert r"cart\x1b" in table
    assert r"cart\x1b[2J\x1b]0;owned\x07\r\n" in line


def test_a_table_that_is_piped_breaks_no_cell_whatever_the_terminal_is_said_to_be(
    run: Run, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    put("faults", "f-1", state_of(an_event(reason="no room " * 60)))
    (row,) = (line for line in run("fault", "list").stdout.splitlines() if "f-1" in line)
    assert ("no room " * 60).strip() in row


def test_square_brackets_of_a_name_are_no_style(run: Run, put: Put) -> None:
    put("faults", "f-1", state_of(an_event(instance="[red]cart[/red] :boom:")))
    assert "[red]cart[/red] :boom:" in run("fault", "list").stdout


def test_keys_and_reasons_of_what_cannot_be_read_are_shown_as_escapes(run: Run, broker: MemoryBroker) -> None:
    with broker.producer() as producer:
        producer.send("fault-events", key=b"\x1b[2J\n", value=None)
        producer.send("service-faults-dlq", key=b"k", value=b"", headers=(("dlq_reason", b"\x1b[2J\n"),))
    for topic in ("fault-events", "service-faults-dlq"):
        line = run("subscribe", topic, "--from", "earliest", "--until-end").stdout
        assert (is_safe(line), line.count("\n"), r"\x1b[2J\n" in line) == (True, 1, True)


def test_json_stays_one_line_of_ascii_whatever_a_name_holds(run: Run, put: Put) -> None:
    event = an_event(service=HOSTILE, reason="é\x7f")
    put("fault-events", "f-1", event)
    put("faults", "f-1", state_of(event))
    for arguments in (("fault", "list"), ("subscribe", "fault-events", "--from", "earliest", "--until-end")):
        text = run(*arguments, "--json").stdout
        assert (text.count("\n"), text.isascii(), text.rstrip("\n").isprintable()) == (1, True, True)
        document = json.loads(text)
        assert document.get("record", document)["service"] == HOSTILE


def test_an_error_that_quotes_a_hostile_name_is_one_safe_line(run: Run) -> None:
    result = run("topics", "describe", HOSTILE)
    assert (result.exit_code, result.stderr.count("\n"), is_safe(result.stderr)) == (2, 1, True)
    usage = run("subscribe", "fault-events", "--from", HOSTILE)
    assert (usage.exit_code, is_safe(usage.stderr)) == (2, True)


def test_an_argument_that_is_no_text_is_refused_before_a_library_chokes_on_it(run: Run) -> None:
    for arguments in (
        ("subscribe", "fault-events", "--group", "\udcff"),
        ("fault", "request", "noop", "--target", "service=\udcff", "--duration", "1s"),
        ("dataset", "hash", "data/\udcff"),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.stderr.count("\n"), is_safe(result.stderr)) == (2, 1, True)
        assert "is not UTF-8" in result.stderr


def test_a_traceback_that_quotes_a_hostile_name_is_safe(run: Run, environment: dict[str, str]) -> None:
    assert is_safe(run("--verbose", "topics", "describe", HOSTILE).stderr)
    crash = _ENDLESS.replace('print_line("a line that nobody wants")', f"raise RuntimeError({HOSTILE!r})")
    done = subprocess.run(
        [sys.executable, "-c", crash], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, "Traceback" in done.stderr, is_safe(done.stderr)) == (1, True, True)


def test_progress_shows_hostile_text_as_escapes() -> None:
    screen = io.StringIO()
    with TerminalProgress(Console(file=screen, width=200)).stage(HOSTILE) as stage:
        stage.show(f"[red]{HOSTILE}[/red]")
    with pytest.raises(KeyError), TerminalProgress(Console(file=screen, width=200)).stage(HOSTILE):
        raise KeyError
    assert is_safe(screen.getvalue())
    assert "[red]cart" in screen.getvalue()


def test_a_full_device_is_said_in_one_line(environment: dict[str, str]) -> None:
    for arguments in (("fault", "kinds"), ("fault", "kinds", "--json"), ("--help",), ("completion", "bash")):
        with Path("/dev/full").open("w") as full:
            done = call(arguments, environment, stdout=full)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert done.stderr.startswith("error: standard output can't be written: No space left on device")


@pytest.mark.parametrize("arguments", ["fault kinds", "fault kinds --json", "topics --help"])
def test_a_closed_output_is_said_in_one_line(environment: dict[str, str], arguments: str) -> None:
    command = f"exec {shlex.join(COMMAND)} {arguments} >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("error: standard output can't be written")


def test_an_error_ends_with_its_code_also_when_it_can_not_be_printed(environment: dict[str, str]) -> None:
    for redirection in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        command = f"exec {shlex.join(COMMAND)} fault kinds nothing {redirection}"
        done = subprocess.run(
            ["/bin/sh", "-c", command], capture_output=True, text=True, check=False, env=environment
        )
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_reader_that_has_enough_ends_the_command_quietly(environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()
    assert (process.returncode, complaint) == (0, b"")


@pytest.mark.parametrize("arguments", [("fault", "kinds"), ("--help",)])
def test_a_reader_that_is_gone_before_the_first_line_is_no_error(
    environment: dict[str, str], arguments: tuple[str, ...]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = call(arguments, environment, stdout=gone)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_pipe_of_a_process_of_our_own_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def worker_died(*_arguments: object, **_more: object) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr("microservo.datasets.rebuild", worker_died)
    result = run("dataset", "rebuild", "--run", "run-1", "--out", "nowhere")
    assert result.exit_code == 1
    assert "broken pipe" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_folder_that_cannot_be_made_is_said_in_one_line(run: Run, put: Put, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    put("experiments", "run-1", A_RUN)
    result = run("dataset", "rebuild", "--out", str(tmp_path / "file" / "dataset"))
    assert result.exit_code in (1, 2)
    assert "file" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [("fault", "kinds"), ("doctor",), ("topics", "--help")])
def test_strict_ascii_output_crashes_nothing(
    environment: dict[str, str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    home = tmp_path / "größe"
    home.mkdir()
    strict = {
        **{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"},
        "MICROSERVO_HOME": os.fsdecode(home),
    }
    done = call(arguments, environment | strict, stdout=subprocess.PIPE)
    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.isascii()
    assert done.stdout.strip()


def test_no_colours_are_written_where_no_terminal_is(run: Run, put: Put) -> None:
    put("fault-events", "f-1", an_event())
    assert "\x1b" not in run("subscribe", "fault-events", "--from", "earliest", "--until-end").stdout


@pytest.mark.parametrize(
    ("setting", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_terminal_gets_colours_unless_it_asks_for_none(
    environment: dict[str, str], *, setting: dict[str, str], coloured: bool
) -> None:
    plain = {name: value for name, value in environment.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb") as screen, os.fdopen(theirs, "wb") as terminal:
        call(("fault", "kinds", "nothing"), {**plain, "TERM": "xterm", **setting}, stderr=terminal)
        assert (b"\x1b[" in screen.read1()) == coloured


def call(
    arguments: Sequence[str],
    environment: dict[str, str],
    *,
    stdout: Any = None,
    stderr: Any = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


_ENDLESS = """
import click
from microservo.cli import main
from microservo.cli.root import cli
from microservo.cli.output import print_line

@click.command()
def endless():
    while True:
        print_line("a line that nobody wants")

cli.get_command = lambda ctx, name: endless
import sys
sys.argv = ["microservo", "endless"]
main()
"""

A_RUN = Experiment(
    run_id="run-1",
    status="running",
    seed=7,
    target="online-boutique",
    started_at_us=NOON_US,
    window_us=5_000_000,
    first_cut_us=2_000_000,
    final_cut_us=30_000_000,
    start_offsets={},
    end_offsets={},
    versions={},
)
