"""What a fence costs: to start and end a program, to talk with it, and to watch it.

`python -m benchmarks.fence`, half a minute. The same program runs as a plain child, without a fence and
in one, in turns; CPU time is of the host and of children that it has waited for.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks.command import run
from benchmarks.figures import Figure, figure
from microservo.supervision.fence import Fence
from microservo.supervision.fence_process import FencedProcess
from microservo.supervision.fence_unfenced import Unfenced

COMMAND = "python -m benchmarks.fence"
STARTS = 30
CALLS = 20_000
TURNS = 3
WATCHED_S = 5
PYTHON = os.path.realpath(sys.executable)
ECHO = "import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line); sys.stdout.buffer.flush()"
LINE = b"x" * 999 + b"\n"


Start = Callable[[str, str], FencedProcess]
"""Starts code in a place, `unfenced` or `fenced`."""


def figures(folder: Path) -> Iterator[Figure]:
    """Starts, calls and watching, behind the fence against the same without one.

    Args:
        folder: for what the programs print.
    """
    places: dict[str, Fence | Unfenced] = {"unfenced": Unfenced(), "fenced": Fence.find()}

    def start(place: str, code: str) -> FencedProcess:
        argv = (PYTHON, "-I", "-S", "-c", code)
        return places[place].start(argv, folders=[Path(sys.base_prefix)], log=folder / "log")

    yield from _of_starts(start)
    yield from _of_calls(start)
    yield _of_watching(start)


def _of_starts(start: Start) -> Iterator[Figure]:
    """Medians of many, taken in turns."""
    kinds: Mapping[str, Callable[[], None]] = {
        "a plain child": _plain,
        "unfenced": lambda: _to_its_end(start, "unfenced"),
        "fenced": lambda: _to_its_end(start, "fenced"),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for _ in range(STARTS):
        for name, act in kinds.items():
            taken[name].append(_timed(act))
    wall_ms, cpu_ms = (
        {name: 1e3 * statistics.median(pair[which] for pair in pairs) for name, pairs in taken.items()}
        for which in (0, 1)
    )
    title = "start to end of an empty Python program behind the fence"
    for peer in ("a plain child", "unfenced"):
        yield _figure(title, wall_ms["fenced"], "ms", peer, wall_ms[peer])
        yield _figure(title, cpu_ms["fenced"], "ms of CPU", peer, cpu_ms[peer])


def _plain() -> None:
    subprocess.run([PYTHON, "-I", "-S", "-c", ""], check=True)


def _to_its_end(start: Start, place: str) -> None:
    with start(place, "") as process:
        process.wait()


def _of_calls(start: Start) -> Iterator[Figure]:
    """The best mean of some turns, each in another process."""
    taken: dict[str, list[tuple[float, float]]] = {"unfenced": [], "fenced": []}
    for _ in range(TURNS):
        for place, pairs in taken.items():
            with start(place, ECHO) as process:
                pairs.append(_timed(partial(_talk, process)))
    title = f"a line of {len(LINE)} bytes there and back behind the fence, mean of {CALLS:,}"
    for which, unit in ((0, "us"), (1, "us of the host's CPU")):
        fenced, unfenced = (
            1e6 / CALLS * min(pair[which] for pair in taken[place]) for place in ("fenced", "unfenced")
        )
        yield _figure(title, fenced, unit, "unfenced", unfenced)


def _talk(process: FencedProcess) -> None:
    for _ in range(CALLS):
        process.stdin.write(LINE)
        process.stdout.read(len(LINE))


def _of_watching(start: Start) -> Figure:
    shares = {}
    for place in ("unfenced", "fenced"):
        with start(place, ECHO):
            _, cpu_s = _timed(partial(time.sleep, WATCHED_S))
        shares[place] = 100 * cpu_s / WATCHED_S
    title = "watching an idle program behind the fence"
    return _figure(title, shares["fenced"], "% of a core", "unfenced", shares["unfenced"])


def _figure(name: str, value: float, unit: str, peer: str, peer_value: float) -> Figure:
    return figure(name, value, unit, peer=peer, peer_value=peer_value, command=COMMAND)


def _timed(act: Callable[[], None]) -> tuple[float, float]:
    """Seconds of wall clock, and of CPU by this process and its children that have ended."""
    before_s, cpu_s = time.perf_counter(), _cpu_used_s()
    act()
    return time.perf_counter() - before_s, _cpu_used_s() - cpu_s


def _cpu_used_s() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(parser, lambda folder, _: figures(folder), name="fence", title="What a fence costs")


if __name__ == "__main__":
    sys.exit(main())
