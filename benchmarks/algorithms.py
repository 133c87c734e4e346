"""What running an algorithm in a process of its own costs: `python -m benchmarks.algorithms`, a minute.

The same detectors get the same windows of 60 features in this process, through the pipe to a plain process,
and behind the fence, in turn, several times; medians are shown. Rates are per second of processor, of both
ends together: the machine may have other things to do. Windows come in batches as of a replay, and one at a
time as they come live.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.command import run
from benchmarks.figures import Figure, figure
from microservo.algorithms import Plugin, Session, resolve
from microservo.algorithms.fenced.adapters import OneByOne
from microservo.algorithms.fenced.detectors import Chance, Watch
from microservo.algorithms.running import Workplace
from microservo.algorithms.shipped.n_sigma import NSigma
from microservo.algorithms.unfenced import unfenced_session
from microservo.supervision.environments import EnvironmentCache
from microservo.supervision.fence import Fence

COMMAND = "python -m benchmarks.algorithms"
_FEATURES = 60
_WINDOWS = 20_000
_BATCH = 200
_LIVE_WINDOWS = 4000
_TURNS = 3
_NAMES = tuple(f"metric/{number:02d}/mean" for number in range(_FEATURES))
_TRIVIAL = """
class Trivial:
    def score_one(self, x): return 0.0
    def learn_one(self, x): pass
"""


class _Trivial:
    """As in `_TRIVIAL`."""

    def score_one(self, x: object) -> float:
        del x
        return 0.0

    def learn_one(self, x: object) -> None:
        del x


@dataclass(frozen=True, slots=True)
class _Speed:
    """Windows a second of processor, and milliseconds from asking to the answer."""

    windows_per_s: float
    p50_ms: float
    p99_ms: float


def figures(folder: Path) -> Iterator[Figure]:
    """Windows a second of a detector that does nothing, and of N-sigma, through the pipe and in here."""
    path = folder / "trivial.py"
    path.write_text(_TRIVIAL, "utf-8")
    cases: tuple[tuple[str, Plugin, Callable[[], object]], ...] = (
        ("a detector that does nothing", resolve(str(path)), _Trivial),
        ("N-sigma", resolve("n-sigma"), NSigma),
    )
    for title, plugin, make in cases:
        is_raw = plugin.declaration.features == "raw"
        inside = [_in_process(make, is_raw=is_raw) for _ in range(_TURNS)]
        for place, opened in (
            ("Through the pipe", unfenced_session(plugin)),
            ("Behind the fence", _fenced_session(plugin, folder)),
        ):
            with opened as session:
                session.open()
                through = [_through_pipe(session, _WINDOWS, _BATCH) for _ in range(_TURNS)]
                live = [_through_pipe(session, _LIVE_WINDOWS, 1) for _ in range(_TURNS)]
            yield from _of_place(f"{place}, {title}", statistics.median(inside), through, live)


def _of_place(
    name: str, inside: float, through: Sequence[_Speed], live: Sequence[_Speed]
) -> Iterator[Figure]:
    for how, speeds in (("200 windows at once", through), ("one window at a time", live)):
        yield figure(
            f"{name}, {how}, {_FEATURES} features",
            statistics.median(each.windows_per_s for each in speeds),
            "windows/CPU-s",
            peer="in this process",
            peer_value=inside,
            command=COMMAND,
        )
    for share, values in (("p50", [each.p50_ms for each in live]), ("p99", [each.p99_ms for each in live])):
        yield figure(
            f"{name}, one window there and back, {share}",
            min(values),
            "ms",
            peer="",
            peer_value=None,
            command=COMMAND,
        )


@contextmanager
def _fenced_session(plugin: Plugin, folder: Path) -> Iterator[Session]:
    workplace = Workplace(plugin, Fence.find(), EnvironmentCache(folder / "environments"), folder)
    with workplace.environment() as environment, workplace.running(environment) as running:
        yield running.session


def _in_process(make: Callable[[], object], *, is_raw: bool) -> float:
    watch = Watch(OneByOne(make, ()), Chance(0), is_raw=is_raw)
    rows = _rows(_WINDOWS).tolist()
    began_s = time.process_time()
    for row in rows:
        watch.score(_NAMES, row)
    return _WINDOWS / (time.process_time() - began_s)


def _through_pipe(session: Session, windows: int, batch: int) -> _Speed:
    rows, latencies_ms = _rows(windows), []
    children = psutil.Process().children(recursive=True)
    began_s = _cpu_s(children)
    for begin in range(0, windows, batch):
        asked_s = time.perf_counter()
        session.score("cart", _NAMES, rows[begin : begin + batch])
        latencies_ms.append(1e3 * (time.perf_counter() - asked_s))
    used_s = _cpu_s(children) - began_s
    p50_ms, p99_ms = np.quantile(latencies_ms, (0.5, 0.99)).tolist()
    return _Speed(windows / used_s, p50_ms, p99_ms)


def _cpu_s(children: Sequence[psutil.Process]) -> float:
    times = [child.cpu_times() for child in children]
    return float(sum(each.user + each.system for each in times)) + time.process_time()


def _rows(windows: int) -> NDArray[np.float64]:
    return np.random.default_rng(7).normal(10, 1, size=(windows, _FEATURES))


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(
        parser,
        lambda folder, _: figures(folder),
        name="algorithms",
        title="What running an algorithm in its own process costs",
    )


if __name__ == "__main__":
    sys.exit(main())
