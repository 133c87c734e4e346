from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from microservo.adapters.processes import python_argv
from microservo.errors import InvalidInput, Unavailable
from microservo.supervision.pid_record import write_record
from microservo.supervision.supervisor import ProcessSpec, Supervisor, kill_leftovers
from microservo.testing import eventually

SLEEP = "import signal; signal.pause()"
# Ends at SIGTERM after it has said so in its log.
POLITE = (
    "import signal, sys; signal.signal(15, lambda *_: sys.exit(print('left', flush=True)));"
    " print('here', flush=True); signal.pause()"
)
STUBBORN = (
    "import signal; signal.signal(15, signal.SIG_IGN);"
    " print('here', flush=True); [signal.pause() for _ in iter(int, 1)]"
)
PARENT = (
    "import subprocess, signal; print(subprocess.Popen(['sleep', '600']).pid, flush=True); signal.pause()"
)


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as made:
        yield made


def spec(tmp_path: Path, name: str, code: str = SLEEP, **rest: object) -> ProcessSpec:
    argv = (sys.executable, "-I", "-S", "-c", code)
    return ProcessSpec(name=name, argv=argv, log=tmp_path / f"{name}.log", **rest)  # type: ignore[arg-type]  # tests


def says(tmp_path: Path, name: str) -> str:
    log = tmp_path / f"{name}.log"
    return log.read_text() if log.exists() else ""


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pid: int) -> None:
    eventually(lambda: not runs(pid), what=f"the end of {pid}")


def test_a_killed_process_comes_back(supervisor: Supervisor, tmp_path: Path) -> None:
    changes: list[tuple[str, bool]] = []
    supervisor.add_listener(lambda name, pid: changes.append((name, pid is not None)))
    supervisor.start(spec(tmp_path, "a"))
    first = supervisor.pids()["a"]
    assert first
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervisor.pids()["a"] not in (None, first), what="the next process")
    assert supervisor.restarts("a") == 1
    eventually(lambda: changes == [("a", True), ("a", False), ("a", True)], what="three changes")


def test_one_that_shall_not_come_back_stays_down(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, "once", "raise SystemExit(3)", restart="never"))
    eventually(lambda: supervisor.pids()["once"] is None, what="the end")
    assert supervisor.restarts("once") == 0
    with pytest.raises(Unavailable, match=r"once can't be kept running .exit code 3"):
        supervisor.wait_ready(["once"], 30)


def test_one_that_fails_again_and_again_waits_longer_each_time(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.start(spec(tmp_path, "bad", "raise SystemExit(1)"))
    eventually(lambda: supervisor.restarts("bad") >= 2, what="two restarts")
    reported = [
        record.getMessage() for record in caplog.records if record.getMessage().startswith("bad ended")
    ]
    assert [line.rpartition("; ")[2] for line in reported[:2]] == ["again in 0.2 s", "again in 0.4 s"]


def test_ready_waits_for_the_process_to_say_so(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, "a", POLITE, ready=lambda: "here" in says(tmp_path, "a")))
    supervisor.wait_ready(["a"], 30)
    assert "here" in says(tmp_path, "a")


def test_one_that_is_never_ready_is_named_with_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, "slow", POLITE, ready=lambda: False))
    eventually(lambda: "here" in says(tmp_path, "slow"), what="the log")
    with pytest.raises(Unavailable, match=r"slow was not ready within 0\.2 s .exit code none yet") as late:
        supervisor.wait_ready(["slow"], 0.2)
    assert str(late.value).endswith("slow.log ends with:\nhere")


def test_a_command_that_is_not_there_is_named_in_its_log(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(
        ProcessSpec(name="none", argv=("no-such-command",), log=tmp_path / "none.log", restart="never")
    )
    eventually(lambda: supervisor.pids()["none"] is None, what="its end")
    with pytest.raises(Unavailable, match=r"exit code 127.*\n.*no-such-command can't be started"):
        supervisor.wait_ready(["none"], 30)


def test_stop_lets_a_process_leave_in_order(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, "a", POLITE))
    eventually(lambda: "here" in says(tmp_path, "a"), what="the process")
    supervisor.stop("a")
    assert says(tmp_path, "a") == "here\nleft\n"
    assert supervisor.pids() == {}
    with pytest.raises(InvalidInput, match="no process is called 'a'"):
        supervisor.stop("a")


def test_one_that_ignores_the_wish_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, "a", STUBBORN, stop_timeout_s=0.1))
    pid = supervisor.pids()["a"]
    assert pid
    eventually(lambda: "here" in says(tmp_path, "a"), what="the process")
    supervisor.stop("a")
    assert not runs(pid)


def test_several_that_take_their_time_are_stopped_together(supervisor: Supervisor, tmp_path: Path) -> None:
    for name in "abc":
        supervisor.start(spec(tmp_path, name, STUBBORN, stop_timeout_s=2))
        eventually(lambda name=name: "here" in says(tmp_path, name))  # type: ignore[misc]
    with pytest.raises(InvalidInput, match="no process is called 'd'"):
        supervisor.stop_all("abd")
    assert len(supervisor.pids()) == 3
    began_s = time.monotonic()
    supervisor.stop_all("abc")
    assert supervisor.pids() == {}
    # One after another it would be six seconds.
    assert time.monotonic() - began_s < 5.5


def test_a_paused_process_leaves_in_order_too(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, "a", POLITE, stop_timeout_s=60))
    eventually(lambda: "here" in says(tmp_path, "a"), what="the process")
    os.kill(supervisor.pids()["a"] or 0, signal.SIGSTOP)
    supervisor.stop("a")
    assert says(tmp_path, "a").endswith("left\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_children_of_a_child_end_with_it(
    supervisor: Supervisor, tmp_path: Path, number: signal.Signals
) -> None:
    supervisor.start(spec(tmp_path, "a", PARENT, restart="never"))
    grandchild = int(eventually(lambda: says(tmp_path, "a"), what="the grandchild"))
    os.kill(supervisor.pids()["a"] or 0, number)
    gone(grandchild)


def test_close_stops_in_reverse_order(tmp_path: Path) -> None:
    ended: list[str] = []
    with Supervisor(on_change=lambda name, pid: None if pid else ended.append(name)) as supervisor:
        supervisor.start(spec(tmp_path, "broker"))
        supervisor.start_all([spec(tmp_path, "one"), spec(tmp_path, "two")])
        supervisor.start(spec(tmp_path, "load"))
        pids = supervisor.pids().values()
    assert ended[0] == "load"
    assert set(ended[1:3]) == {"one", "two"}
    assert ended[3:] == ["broker"]
    assert not any(runs(pid) for pid in pids if pid)
    supervisor.close()
    with pytest.raises(InvalidInput, match="the supervisor is closed"):
        supervisor.start(spec(tmp_path, "late"))


def test_names_are_unique(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(spec(tmp_path, "a"))
    with pytest.raises(InvalidInput, match="process names must differ"):
        supervisor.start_all([spec(tmp_path, "b"), spec(tmp_path, "a")])
    assert list(supervisor.pids()) == ["a"]


def test_environment_is_added_and_the_log_is_appended(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("before\n")
    code = "import os; print(os.environ['COLOUR'], 'PATH' in os.environ)"
    supervisor.start(spec(tmp_path, "a", code, env={"COLOUR": "blue"}, restart="never"))
    eventually(lambda: says(tmp_path, "a") == "before\nblue True\n", what="both lines")


def test_nothing_of_the_users_shell_reaches_a_child(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "no_proxy", "OTEL_SDK_DISABLED", "PYTHONPATH", "JAVA_TOOL_OPTIONS"):
        monkeypatch.setenv(name, "of the shell")
    monkeypatch.setenv("MICROSERVO_TOPIC_PREFIX", "lab-")
    code = "import os; print(*sorted(os.environ), flush=True)"
    supervisor.start(spec(tmp_path, "a", code, env={"COLOUR": "blue"}, restart="never"))
    names = set(eventually(lambda: says(tmp_path, "a"), what="the names").split())
    assert {"COLOUR", "PATH", "MICROSERVO_TOPIC_PREFIX"} <= names
    assert {name for name in names if not name.startswith(("LC_", "MICROSERVO_"))} <= {
        *("COLOUR", "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "TZ"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "__CF_USER_TEXT_ENCODING"),
    }


def test_a_users_folder_with_packages_of_our_names_breaks_no_child(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    (tmp_path / "schemas.py").write_text("X = 1")
    for name in ("services", "streams"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    child = ProcessSpec(
        name="a",
        argv=python_argv("services.workload", "--help"),
        cwd=tmp_path,
        log=tmp_path / "a.log",
        restart="never",
    )
    supervisor.start(child)
    assert eventually(lambda: says(tmp_path, "a"), what="its help").startswith("usage: ")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc to read the signals from")
def test_a_command_begins_with_the_usual_signals(supervisor: Supervisor, tmp_path: Path) -> None:
    argv = ("grep", "SigIgn", "/proc/self/status")
    supervisor.start(ProcessSpec(name="a", argv=argv, log=tmp_path / "a.log", restart="never"))
    eventually(lambda: says(tmp_path, "a").endswith("\n"), what="the mask of ignored signals")
    ignored = int(says(tmp_path, "a").split()[1], 16)
    usual = (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTERM, signal.SIGXFSZ)
    assert not any(ignored >> (number - 1) & 1 for number in usual)


def test_a_log_that_cannot_be_written_is_reported(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "a.log").mkdir()
    with pytest.raises(Unavailable, match=r"a can't be started with its log .*make that writable"):
        supervisor.start(spec(tmp_path, "a"))
    assert supervisor.pids() == {}


def test_a_listener_may_fail_and_may_call_the_supervisor(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def listener(name: str, pid: int | None) -> None:
        if name == "a" and pid:
            supervisor.start(spec(tmp_path, "b"))
        message = "broken"
        raise RuntimeError(message)

    supervisor.add_listener(listener)
    supervisor.start(spec(tmp_path, "a"))
    assert set(supervisor.pids()) == {"a", "b"}
    assert "a listener failed" in caplog.text


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microservo.supervision.document_writer.RETRY_S", 0.05)


@pytest.fixture
def disk(_impatient: None, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Full while there is something in it."""
    fill: set[str] = set()

    def write(path: Path, pids: Mapping[str, int]) -> None:
        if fill:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_record(path, pids)

    monkeypatch.setattr("microservo.supervision.supervisor.write_record", write)
    return fill


def test_on_a_full_disk_processes_come_back_and_it_is_said_once(tmp_path: Path, disk: set[str]) -> None:
    record, lines = tmp_path / "record.json", list[str]()
    with Supervisor(record=record, report=lines.append) as supervisor:
        supervisor.start(spec(tmp_path, "a"))
        disk.add("full")
        for restarts in (1, 2):
            os.kill(supervisor.pids()["a"] or 0, signal.SIGKILL)
            eventually(lambda n=restarts: supervisor.restarts("a") == n and supervisor.pids()["a"], what="a")  # type: ignore[misc]  # a default binds it
        assert len(lines) == 1
        assert lines[0].startswith(f"{record} can't be written (No space left on device); everything goes on")
        disk.clear()
        eventually(lambda: len(lines) == 2, what="word of room")
        assert {name: pid for name, (pid, _) in json.loads(record.read_text()).items()} == supervisor.pids()
    assert lines[1].startswith("there is room again")


def test_on_a_full_disk_everything_still_stops(tmp_path: Path, disk: set[str]) -> None:
    with Supervisor(record=tmp_path / "record.json") as supervisor:
        supervisor.start_all([spec(tmp_path, "a"), spec(tmp_path, "b")])
        pids = [pid for pid in supervisor.pids().values() if pid]
        disk.add("full")
    assert len(pids) == 2
    assert not any(runs(pid) for pid in pids)


@pytest.mark.usefixtures("_impatient")
def test_a_document_that_could_not_be_written_is_written_once_there_is_room(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    state = tmp_path / "missing" / "state.json"
    supervisor.write_document(state, lambda: void(state.write_text("old")))
    supervisor.write_document(state, lambda: void(state.write_text("new")))
    state.parent.mkdir()
    assert eventually(lambda: state.exists() and state.read_text(), what="the document") == "new"


def void(_: object) -> None:
    """For an expression whose value nobody wants."""


def test_a_ready_check_that_raises_is_logged_and_counts_as_not_ready(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[None] = []

    def ready() -> bool:
        asked.append(None)
        if len(asked) < 4:
            message = "broken"
            raise RuntimeError(message)
        return True

    supervisor.start(spec(tmp_path, "a", ready=ready))
    supervisor.wait_ready(["a"], 30)
    assert caplog.text.count("whether a is ready can't be said") == 1


def test_a_report_that_can_not_be_written_stops_nothing(tmp_path: Path, disk: set[str]) -> None:
    def report(_line: str) -> None:
        raise BrokenPipeError

    with Supervisor(record=tmp_path / "record.json", report=report) as supervisor:
        disk.add("full")
        supervisor.start(spec(tmp_path, "a"))
        os.kill(supervisor.pids()["a"] or 0, signal.SIGKILL)
        eventually(lambda: supervisor.restarts("a") == 1, what="its return")


def test_kill_waits_for_nobody(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        supervisor.start(spec(tmp_path, "a", STUBBORN, restart="never", stop_timeout_s=600))
        supervisor.start(spec(tmp_path, "b", PARENT, restart="never"))
        grandchild = int(eventually(lambda: says(tmp_path, "b"), what="the grandchild"))
        supervisor.kill()
        gone(grandchild)
        eventually(lambda: set(supervisor.pids().values()) == {None}, what="the end of all")


def test_many_threads_may_start_and_stop(supervisor: Supervisor, tmp_path: Path) -> None:
    def work(number: int) -> None:
        supervisor.start(spec(tmp_path, f"p{number}"))
        supervisor.stop(f"p{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert supervisor.pids() == {}


OWNER = """
import sys, threading
from pathlib import Path
from microservo.supervision.supervisor import ProcessSpec, Supervisor
where = Path(sys.argv[1])
supervisor = Supervisor(record=where / "record.json")
argv = (sys.executable, "-I", "-S", "-c", sys.argv[2])
supervisor.start_all([ProcessSpec(name=n, argv=argv, log=where / f"{n}.log") for n in ("a", "b")])
print("up", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("paused", [False, True])
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path, paused: bool) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path), PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        children = [pid for pid, _ in json.loads((tmp_path / "record.json").read_text()).values()]
        grandchildren = [
            int(eventually(lambda n=name: says(tmp_path, n), what="a grandchild"))  # type: ignore[misc]  # a default binds it
            for name in ("a", "b")
        ]
        if paused:
            os.kill(children[0], signal.SIGSTOP)
        owner.kill()
    for pid in [*children, *grandchildren]:
        gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_the_kernel_ends_children_when_the_guard_is_dead_too(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), SLEEP], stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        family = psutil.Process(owner.pid).children()
        (guard,) = [process for process in family if "guard.py" in " ".join(process.cmdline())]
        guard.kill()
        owner.kill()
    for process in family:
        gone(process.pid)


def test_leftovers_of_an_earlier_run_are_killed(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as left:
        created_s = psutil.Process(left.pid).create_time()
        stranger = [os.getpid(), created_s - 1000]
        record.write_text(json.dumps({"left": [left.pid, created_s], "reused": stranger, "dead": [2**22, 1]}))
        assert kill_leftovers(record) == ["left"]
        assert not runs(left.pid)
    assert not record.exists()
    assert kill_leftovers(record) == []


def test_a_record_that_is_none_is_refused(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text("[1, 2]")
    with pytest.raises(InvalidInput, match="is not a record of processes"):
        kill_leftovers(record)


def test_the_record_follows_what_runs_and_goes_at_the_end(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    with Supervisor(record=record) as supervisor:
        supervisor.start(spec(tmp_path, "a"))
        supervisor.start(spec(tmp_path, "b"))
        pids = {name: pid for name, (pid, _) in json.loads(record.read_text()).items()}
        assert pids == supervisor.pids()
        supervisor.stop("a")
        assert list(json.loads(record.read_text())) == ["b"]
    assert not record.exists()


def test_one_that_ends_just_as_it_is_stopped_is_no_trouble(supervisor: Supervisor, tmp_path: Path) -> None:
    for turn in range(30):
        code = f"import os; os.write(1, b'{turn};'); os._exit(0)"
        supervisor.start(spec(tmp_path, "a", code, restart="never"))
        eventually(lambda n=turn: f"{n};" in says(tmp_path, "a"), interval_s=0.0001, what="its end")  # type: ignore[misc]  # a default binds it
        supervisor.stop("a")
