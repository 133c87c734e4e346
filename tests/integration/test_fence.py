"""A fenced program that does as it should, and one without a fence."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from microservo.errors import InvalidInput, Unavailable
from microservo.supervision import fence as fence_module
from microservo.supervision.fence import Fence, fence_report
from microservo.supervision.fence_limits import Limits
from microservo.supervision.fence_process import FencedProcess
from microservo.supervision.fence_unfenced import Unfenced
from microservo.testing import eventually

pytestmark = pytest.mark.integration

PYTHON = os.path.realpath(sys.executable)
ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line.upper()); sys.stdout.flush()"
COUNT = """
import os, pathlib
kept = pathlib.Path(os.environ["MICROSERVO_STATE"], "count")
count = int(kept.read_text()) + 1 if kept.exists() else 1
kept.write_text(str(count))
print(count)
"""
BURN_MEMORY = "kept = []\nwhile True: kept.append(bytearray(b'x') * (16 << 20))"
THREADS = """
import threading, time
for _ in range(20):
    threading.Thread(target=time.sleep, args=[600], daemon=True).start()
print(flush=True)
time.sleep(600)
"""
SLEEP = "import time; time.sleep(600)"


@pytest.fixture(scope="module", params=["fenced", "unfenced"])
def place(request: pytest.FixtureRequest) -> Fence | Unfenced:
    if request.param == "unfenced":
        return Unfenced()
    try:
        return Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))


def start(place: Fence | Unfenced, tmp_path: Path, code: str, **rest: object) -> FencedProcess:
    options: dict[str, object] = {"folders": [Path(sys.base_prefix)], "log": tmp_path / "log", **rest}
    return place.start((PYTHON, "-I", "-S", "-c", code), **options)  # type: ignore[arg-type]  # tests


def test_it_answers_on_its_pipes_and_ends_with_them(place: Fence | Unfenced, tmp_path: Path) -> None:
    with start(place, tmp_path, ECHO) as process:
        process.stdin.write(b"window\n")
        assert process.stdout.readline() == b"WINDOW\n"
        assert process.outcome is None
        process.stdin.close()
        outcome = process.wait(20)
    assert (outcome.reason, outcome.exit_code, outcome.killed_for) == ("ended with exit code 0", 0, None)
    assert process.outcome == outcome


def test_what_it_says_of_its_end_is_in_the_outcome(place: Fence | Unfenced, tmp_path: Path) -> None:
    with start(place, tmp_path, "raise ValueError('no such feature')") as process:
        reason = process.wait(20).reason
    assert reason.startswith("ended with exit code 1; its log ends with:\n")
    assert reason.endswith("ValueError: no such feature")


def test_a_signal_is_named(place: Fence | Unfenced, tmp_path: Path) -> None:
    with start(place, tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)") as process:
        assert process.wait(20).reason.startswith("was ended by SIGSEGV")


def test_state_that_was_copied_out_is_there_again_at_the_next_start(
    place: Fence | Unfenced, tmp_path: Path
) -> None:
    state = None
    for count in (1, 2, 3):
        with start(place, tmp_path, COUNT, state=state) as process:
            assert process.stdout.read() == f"{count}\n".encode()
            process.wait(20)
            state = tmp_path / f"state{count}"
            assert process.copy_state(state) == ()
    with pytest.raises(InvalidInput, match="is closed, and its state gone"):
        process.copy_state(tmp_path / "late")


def test_memory_beyond_the_limit_ends_it(place: Fence | Unfenced, tmp_path: Path) -> None:
    with start(place, tmp_path, BURN_MEMORY, limits=Limits(memory_bytes=100 << 20)) as process:
        outcome = process.wait(20)
    assert outcome.killed_for == "memory"
    assert outcome.peak_memory_bytes == process.peak_memory_bytes() > 100 << 20


def test_a_flood_of_output_ends_it(place: Fence | Unfenced, tmp_path: Path) -> None:
    code = "import sys\nwhile True: sys.stderr.write('x' * 1000 + chr(10))"
    with start(place, tmp_path, code, limits=Limits(output_bytes=1 << 20)) as process:
        assert process.wait(20).killed_for == "output"


def test_it_goes_on_when_the_thread_that_started_it_has_ended(
    place: Fence | Unfenced, tmp_path: Path
) -> None:
    started: list[FencedProcess] = []
    thread = threading.Thread(target=lambda: started.append(start(place, tmp_path, ECHO)))
    thread.start()
    thread.join()
    with started[0] as process:
        process.stdin.write(b"still there\n")
        assert process.stdout.readline() == b"STILL THERE\n"


def test_the_reason_of_a_kill_is_the_hosts(place: Fence | Unfenced, tmp_path: Path) -> None:
    with start(place, tmp_path, SLEEP) as process:
        process.kill("took longer than 2 s for a window")
        outcome = process.wait(20)
        process.kill("again")
    assert (outcome.killed_for, outcome.reason) == ("asked", "took longer than 2 s for a window")
    assert not psutil.pid_exists(process.pid)


def test_its_cpu_seconds_are_counted(place: Fence | Unfenced, tmp_path: Path) -> None:
    code = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True); time.sleep(600)"
    with start(place, tmp_path, code) as process:
        process.stdout.readline()
        # The kernel counts in ticks of 10 ms.
        eventually(lambda: process.cpu_s() >= 0.45)
        assert process.cpu_s() < 1


def test_while_it_is_held_it_stands_still_and_goes_on_then(place: Fence | Unfenced, tmp_path: Path) -> None:
    with start(place, tmp_path, "while True: pass") as process:
        eventually(lambda: process.cpu_s() > 0, timeout_s=20)

        def state() -> str:
            (*_, itself) = [
                psutil.Process(process.pid),
                *psutil.Process(process.pid).children(recursive=True),
            ]
            return str(itself.status())

        with process.held():
            eventually(lambda: state() == psutil.STATUS_STOPPED, timeout_s=10)
            time.sleep(0.3)
            used_s = process.cpu_s()
            time.sleep(1)
            assert process.cpu_s() == used_s
        eventually(lambda: process.cpu_s() > used_s, timeout_s=20, what="it to go on")
        assert process.outcome is None


def test_two_run_side_by_side_each_with_a_bound_of_its_own(tmp_path: Path) -> None:
    fence = Fence.find()
    limits = Limits(processes=24)
    with (
        start(fence, tmp_path, THREADS, limits=limits) as a,
        start(fence, tmp_path, THREADS, limits=limits) as b,
    ):
        assert a.stdout.readline() == b.stdout.readline() == b"\n"


def test_a_program_that_is_not_there_is_named(place: Fence | Unfenced, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="/usr/bin/no-such-python"):
        place.start(("/usr/bin/no-such-python",), folders=[], log=tmp_path / "log")


def test_nothing_is_left_open_or_behind(place: Fence | Unfenced, tmp_path: Path) -> None:
    with start(place, tmp_path, ECHO):
        pass
    gc.collect()  # what tests before this one left, so that it is not let go of in between
    before = len(os.listdir("/proc/self/fd")), threading.active_count(), len(psutil.Process().children())
    for _ in range(3):
        with start(place, tmp_path, ECHO):
            pass
        with pytest.raises(Unavailable):
            place.start(("/usr/bin/no-such-python",), folders=[], log=tmp_path / "log")
    after = len(os.listdir("/proc/self/fd")), threading.active_count(), len(psutil.Process().children())
    assert after == before


def test_what_is_held_is_said(tmp_path: Path) -> None:
    assert Fence.find().holds(Limits(cpu_seconds=60))[:4] == (
        "no network",
        "no files but its own",
        "own processes, users, mounts and IPC",
        "no capabilities",
    )
    assert Unfenced().holds(Limits())[0] == "no fence"
    ok, text = fence_report()
    assert ok
    assert text.startswith("bubblewrap (")


def test_a_machine_without_user_namespaces_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2; exit 1\n")
    refusing.chmod(0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(fence_module, "_programs", lambda: [refusing])
    ok, text = fence_report()
    assert not ok
    assert "No permissions to create a new namespace" in text
    assert "kernel.unprivileged_userns_clone=1" in text


def test_a_folder_that_the_fences_user_can_not_read_is_named(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's fence reads what he reads")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(InvalidInput, match=f"chmod -R o.rX {closed}"):
        start(Fence.find(), tmp_path, ECHO, folders=[closed])


def test_a_file_is_shown_without_what_lies_beside_it(tmp_path: Path) -> None:
    shown, beside = tmp_path / "shown.py", tmp_path / "beside.py"
    shown.write_text("shown")
    beside.write_text("secret")
    code = f"import os; print(open('{shown}').read(), os.listdir('{tmp_path}'))"
    with start(Fence.find(), tmp_path, code, folders=[Path(sys.base_prefix), shown]) as process:
        assert process.stdout.read() == b"shown ['shown.py']\n"


def test_only_what_is_there_by_its_full_path_is_shown(tmp_path: Path) -> None:
    for path in (Path("tests"), tmp_path / "missing", Path("/dev/null")):
        with pytest.raises(InvalidInput, match=f"{path} can't be shown in a fence; give the full path"):
            start(Fence.find(), tmp_path, ECHO, folders=[path])


def test_it_holds_no_descriptor_but_its_three_pipes(place: Fence | Unfenced, tmp_path: Path) -> None:
    with start(place, tmp_path, "import os; print(sorted(os.listdir('/dev/fd')))") as process:
        # The fourth is the listing's own.
        assert process.stdout.read() == b"['0', '1', '2', '3']\n"
