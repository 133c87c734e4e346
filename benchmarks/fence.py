"""What a fence costs: to start and end a program, to talk with it, and to watch it.

`python -m benchmarks.fence`, half a minute. The same program runs as a plain child, without a fence and
in one, in turns; CPU time is of the host and of children that it has waited for.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from microservo.supervision.fence import Fence
from microservo.supervision.fence_process import FencedProcess
from microservo.supervision.fence_unfenced import Unfenced

STARTS = 30
CALLS = 20_000
WATCHED_S = 5
PYTHON = os.path.realpath(sys.executable)
ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.buffer.flush()"
LINE = b"x" * 999 + b"\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        places: dict[str, Fence | Unfenced] = {"unfenced": Unfenced(), "fenced": Fence.find()}

        def start(place: str, code: str) -> FencedProcess:
            argv = (PYTHON, "-I", "-S", "-c", code)
            return places[place].start(argv, folders=[Path(sys.base_prefix)], log=log)

        print_starts(start)
        print_calls(start)
        print_watching(start)


def print_starts(start: Callable[[str, str], FencedProcess]) -> None:
    def plain() -> None:
        subprocess.run([PYTHON, "-I", "-S", "-c", ""], check=True)

    def through(place: str) -> None:
        with start(place, "") as process:
            process.wait()

    kinds: dict[str, Callable[[], None]] = {
        "plain child": plain,
        "unfenced": lambda: through("unfenced"),
        "fenced": lambda: through("fenced"),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(STARTS):
        for name, act in kinds.items():
            taken[name].append(timed(act))
    print(f"start to end of an empty Python program, median of {STARTS}")
    for name, pairs in taken.items():
        wall_s, cpu_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"  {name:12} {wall_s * 1000:6.1f} ms, {cpu_s * 1000:6.1f} ms of CPU")


def print_calls(start: Callable[[str, str], FencedProcess]) -> None:
    print(f"a line of {len(LINE)} bytes there and back, mean of {CALLS}")
    for place in ("unfenced", "fenced", "unfenced", "fenced"):
        with start(place, ECHO) as process:
            wall_s, cpu_s = timed(lambda process=process: talk(process))  # type: ignore[misc]
        print(f"  {place:12} {wall_s / CALLS * 1e6:6.1f} us, {cpu_s / CALLS * 1e6:6.1f} us of the host's CPU")


def talk(process: FencedProcess) -> None:
    for _ in range(CALLS):
        process.stdin.write(LINE)
        process.stdout.read(len(LINE))


def print_watching(start: Callable[[str, str], FencedProcess]) -> None:
    print(f"watching an idle program for {WATCHED_S} s")
    for place in ("unfenced", "fenced"):
        with start(place, ECHO):
            _, cpu_s = timed(lambda: time.sleep(WATCHED_S))
        print(f"  {place:12} {cpu_s / WATCHED_S * 100:6.2f} % of a core")


def timed(act: Callable[[], None]) -> tuple[float, float]:
    """Seconds of wall clock, and of CPU by this process and its children that have ended."""
    before_s, cpu_s = time.perf_counter(), cpu_used_s()
    act()
    return time.perf_counter() - before_s, cpu_used_s() - cpu_s


def cpu_used_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
