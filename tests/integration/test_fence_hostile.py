"""What a fence holds against: each script of `tests/support/hostile` is one attack."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fence_host
import psutil
import pytest

from microservo.errors import Unavailable
from microservo.supervision.fence import Fence
from microservo.supervision.fence_process import FencedProcess
from microservo.testing import eventually

pytestmark = pytest.mark.integration
MIB = 1 << 20
REPOSITORY = Path(__file__).parents[2]
HOST = Path(fence_host.__file__)
ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.flush()"


@pytest.fixture(scope="module")
def bwrap() -> str:
    try:
        return str(Fence.find().bwrap)
    except Unavailable as error:
        pytest.skip(str(error))


def own_command() -> list[str]:
    return [sys.executable]


def ordinary_command() -> list[str]:
    """A Python that `nobody` can run, with our packages."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root and setpriv, to become somebody else; the other case is an ordinary user's")
    become = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    for python in ("/usr/bin/python3", sys.executable):
        command = [*become, python]
        check = [*command, "-c", "import microservo.supervision.fence"]
        if (
            subprocess.run(
                check, env=host_environment(), check=False, capture_output=True, cwd="/"
            ).returncode
            == 0
        ):
            return command
    pytest.skip("no Python here can be run by nobody and import microservo; run these as an ordinary user")


def host_environment() -> dict[str, str]:
    packages = [path for path in sys.path if path.endswith("site-packages")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *packages]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@pytest.fixture(scope="module", params=[own_command, ordinary_command], ids=["this user", "nobody"])
def command(request: pytest.FixtureRequest) -> list[str]:
    """The command of a Python host."""
    make: Callable[[], list[str]] = request.param
    return make()


@pytest.fixture
def folder(command: list[str]) -> Iterator[Path]:
    """A folder that the host may write to, and may be walked to by anybody."""
    made = Path(tempfile.gettempdir(), f"fence-test-{uuid.uuid4().hex}")
    made.mkdir()
    made.chmod(0o777)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def neighbour(bwrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FencedProcess]:
    """Another fenced program, which enough all the while."""
    argv = (os.path.realpath(sys.executable), "-I", "-S", "-c", ECHO)
    log = tmp_path_factory.mktemp("neighbour") / "log"
    with Fence(Path(bwrap)).start(argv, folders=[Path(sys.base_prefix)], log=log) as process:
        yield process


Attack = Callable[..., dict[str, Any]]


@pytest.fixture
def attack(command: list[str], folder: Path, bwrap: str, neighbour: FencedProcess) -> Iterator[Attack]:
    """Runs a script in a fence of a host of its own; that and the neighbour survive, and nothing is left."""
    token = uuid.uuid4().hex
    mounts = Path("/proc/self/mounts").read_text()

    def run(script: str, *arguments: str, **request: Any) -> dict[str, Any]:
        asked = {
            "bwrap": bwrap,
            "script": script,
            "arguments": [*arguments, token],
            "log": str(folder / "log"),
            **request,
        }
        with talking_to(neighbour) as heard:
            host = subprocess.run(
                [*command, str(HOST), json.dumps(asked)],
                env=host_environment(),
                cwd="/",
                check=False,
                capture_output=True,
                timeout=60,
            )
        assert host.returncode == 0, host.stderr.decode()
        assert set(heard) == {b"window\n"}
        answer: dict[str, Any] = json.loads(host.stdout)
        return answer

    yield run
    assert processes_with(token) == []
    assert Path("/proc/self/mounts").read_text() == mounts


@contextlib.contextmanager
def talking_to(neighbour: FencedProcess) -> Iterator[list[bytes]]:
    """What it answers meanwhile."""
    heard: list[bytes] = []
    enough = threading.Event()

    def talk() -> None:
        while not enough.wait(0.05):
            neighbour.stdin.write(b"window\n")
            heard.append(neighbour.stdout.readline())

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield heard
    finally:
        enough.set()
        thread.join()


def processes_with(token: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if token in " ".join(process.cmdline()):
                found.append(process.pid)
    return found


def test_it_sees_no_file_process_or_variable_of_the_machine(
    attack: Attack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = folder / "secret"
    secret.write_text("secret")
    places = (str(secret), str(REPOSITORY / "pyproject.toml"), "/etc/hostname")
    monkeypatch.setenv("SECRET_OF_THE_HOST", "x")
    said = json.loads(attack("read_secrets.py", "SECRET_OF_THE_HOST", *places)["said"])
    assert said["found"] == []
    # bwrap's own first process, and itself.
    assert said["processes"] == 2


def test_it_reaches_no_port_of_the_machine_and_no_network(attack: Attack) -> None:
    name = f"fence-{uuid.uuid4().hex}"
    with socket.create_server(("127.0.0.1", 0)) as kafka, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + name)
        abstract.listen()
        port = kafka.getsockname()[1]
        answer = attack("use_network.py", name, f"127.0.0.1:{port}", f"::1:{port}")
        assert json.loads(answer["said"]) == {"reached": [], "interfaces": ["lo"]}
        kafka.settimeout(0)
        with pytest.raises(BlockingIOError):
            kafka.accept()


def test_a_fork_bomb_is_refused_beyond_its_processes_and_killed(attack: Attack) -> None:
    answer = attack("fork_bomb.py", until_said=True, limits={"processes": 40})
    assert 1 <= json.loads(answer["said"])["children"] <= 40
    assert answer["reason"] == "took too long"


def test_the_disk_takes_what_is_allowed_and_no_more(attack: Attack, folder: Path) -> None:
    answer = attack("fill_disk.py", str(folder), limits={"disk_bytes": 8 * MIB})
    taken = json.loads(answer["said"])
    for name in ("/state", "/tmp", "/dev/shm"):  # noqa: S108 - the fence's own
        assert 0 < taken.pop(name) <= 8 * MIB
    assert set(taken.values()) == {0}
    assert sorted(path.name for path in folder.iterdir()) == ["log"]


def test_files_without_end_end_it(attack: Attack) -> None:
    answer = attack("make_files.py", limits={"files": 2000})
    assert answer["killed_for"] == "files"
    assert "it may have 2000" in answer["reason"]


@pytest.mark.parametrize("how", ["process", "children"])
def test_memory_without_end_ends_it(attack: Attack, how: str) -> None:
    answer = attack("allocate.py", how, limits={"memory_bytes": 200 * MIB})
    assert answer["killed_for"] == "memory"
    assert "it may have 200 MiB" in answer["reason"]
    assert answer["peak_memory_bytes"] > 200 * MIB


@pytest.mark.parametrize("how", ["memfd", "shared"])
def test_memory_that_no_process_is_charged_for_is_refused(attack: Attack, how: str) -> None:
    said = json.loads(attack("allocate.py", how)["said"])
    assert said == {"stopped": "PermissionError", "bytes": 0}


def test_one_that_sleeps_and_ignores_signals_is_killed_when_its_host_wants_it(attack: Attack) -> None:
    answer = attack("sleep_on.py", seconds=1)
    assert (answer["killed_for"], answer["reason"], answer["exit_code"]) == ("asked", "took too long", -9)


def test_a_flood_on_stderr_ends_it_and_the_log_stays_small(attack: Attack, folder: Path) -> None:
    answer = attack("print_on.py", "2", limits={"output_bytes": MIB})
    assert answer["killed_for"] == "output"
    assert "it may write 1048576 at once" in answer["reason"]
    assert sum(path.stat().st_size for path in folder.glob("log*")) <= MIB


def test_a_flood_on_stdout_waits_for_its_reader(attack: Attack) -> None:
    answer = attack("print_on.py", "1", seconds=1, reads=False)
    assert answer["reason"] == "took too long"


def test_files_are_opened_up_to_the_bound(attack: Attack) -> None:
    said = json.loads(attack("open_files.py", limits={"open_files": 50})["said"])
    assert said == {"opened": 47, "error": "Too many open files"}


def test_its_code_and_interpreter_can_not_be_changed(attack: Attack) -> None:
    before = (fence_host.SCRIPTS / "delete_code.py").read_text()
    assert json.loads(attack("delete_code.py")["said"]) == {"done": []}
    assert (fence_host.SCRIPTS / "delete_code.py").read_text() == before


def test_other_processes_can_not_be_killed_traced_or_read(attack: Attack) -> None:
    answer = attack("attack_processes.py", str(os.getpid()))
    assert json.loads(answer["said"] or '{"done": []}') == {"done": []}


def test_mounts_namespaces_users_and_limits_stay_as_they_are(attack: Attack) -> None:
    assert json.loads(attack("change_mounts.py")["said"]) == {"done": []}


def test_of_the_state_only_files_and_folders_are_copied(attack: Attack, folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("secret")
    state = folder / "state"
    answer = attack("plant_links.py", str(secret), state=str(state))
    assert {"fifo", "folder/above", "folder/etc", "link", "socket", "through-proc"} <= set(answer["left_out"])
    copied = sorted(str(path.relative_to(state)) for path in state.rglob("*"))
    assert [path for path in copied if path != "unreadable"] == ["folder", "folder/kept", "set-uid"]
    assert (state / "set-uid").stat().st_mode & 0o7777 == 0o644
    assert not any(path.is_symlink() for path in state.rglob("*"))


def test_files_with_holes_do_not_fill_the_disk_when_copied(attack: Attack, folder: Path) -> None:
    answer = attack("plant_holes.py", state=str(folder / "state"))
    assert "the state is larger than 67108864 bytes" in answer["state_error"]
    assert not (folder / "state").exists()


def test_what_it_left_behind_ends_with_it(attack: Attack) -> None:
    assert attack("outlive.py", seconds=5)["exit_code"] in (0, -9)


def test_cpu_seconds_are_bounded_over_all_processes(attack: Attack) -> None:
    answer = attack("burn.py", "3", limits={"cpu_seconds": 1}, seconds=50)
    assert answer["killed_for"] == "cpu" or "s of CPU" in answer["reason"]


def test_all_processes_together_get_no_more_than_their_share_of_the_processors(attack: Attack) -> None:
    # Long enough to be held back on a machine that others keep busy, too.
    answer = attack("burn.py", "3", limits={"cpus": 0.1}, seconds=8)
    # 0.8 s, what may be saved up, and what two processors do until it is seen.
    assert answer["cpu_s"] < 1.4
    assert answer["paused_s"] > 1
    assert answer["reason"] == "took too long"


@pytest.mark.parametrize("delay_s", [None, 0.0, 0.02, 0.05, 0.1])
def test_a_host_that_is_killed_leaves_nothing(
    command: list[str], folder: Path, bwrap: str, delay_s: float | None
) -> None:
    token = uuid.uuid4().hex
    request = {
        "bwrap": bwrap,
        "script": "sleep_on.py",
        "arguments": [token],
        "log": str(folder / "log"),
        "hold": True,
    }
    with subprocess.Popen(
        [*command, str(HOST), json.dumps(request)], stdout=subprocess.PIPE, env=host_environment(), cwd="/"
    ) as host:
        assert host.stdout is not None
        host.stdout.readline()
        if delay_s is None:
            host.stdout.readline()
        else:
            # Somewhere in the middle of a start.
            time.sleep(delay_s)
        host.send_signal(signal.SIGKILL)
    eventually(lambda: processes_with(token) == [])
