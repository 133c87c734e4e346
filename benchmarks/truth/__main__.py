"""`python -m benchmarks.truth`: what is published of effects, held against what is known.

Each part can be run alone and small, and goes on where it was interrupted:

    python -m benchmarks.truth placebo --trials 50 --minutes 5
    python -m benchmarks.truth injections --injections 2
    python -m benchmarks.truth leaks --faults 24
    python -m benchmarks.truth --busy            # all parts, on a busy machine
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.facts import machine_facts
from benchmarks.processes import ROOT
from benchmarks.truth.claims import Claim, show, write
from benchmarks.truth.injections import plan_of, run_session, sessions_of
from benchmarks.truth.journal import Journal
from benchmarks.truth.leaks import anomalous_by_service, chance, constant_in_hindsight, envelopes, leaks
from benchmarks.truth.overlaps import rounds_of, run_rounds, sessions_of_rounds
from benchmarks.truth.placebo import Judged, run_pass
from benchmarks.truth.recording import Described, Recording, record
from benchmarks.truth.report import (
    COMMAND,
    SENTENCES,
    injection_claims,
    injection_facts,
    journal_facts,
    leak_claims,
    leak_facts,
    placebo_claims,
    placebo_facts,
)
from benchmarks.truth.strengths import contracts, kinds_of_services
from benchmarks.truth.trials import Trial, trials_of
from microservo.application.progress import Progress
from microservo.cli.progress import TerminalProgress
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.count_down import count_down
from microservo.system.demo import plan_of as campaign_of

_MOST_IN_A_PASS = 400
"""Trials: what an interruption loses, and what the reading of a recording is shared by."""
PARTS = ("placebo", "injections", "overlaps", "leaks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Areas:
    """The outcome of the part about leaks.

    Attributes:
        windows: how many were compared.
        spread: standard deviation of an area by chance.
        anomalous: how many of how many windows of each service, in words.
        hindsight: area of the best constant for each service; None where it can't be told.
    """

    seed: int
    windows: int
    areas: dict[str, float]
    spread: float
    anomalous: dict[str, str]
    hindsight: float | None


class Benchmark:
    """The parts of the benchmark, each of which adds to its journal.

    Claims are made of everything that was measured on a machine as busy, whatever the seed.

    Args:
        arguments: of the command.
        progress: shows every stage.
    """

    def __init__(self, arguments: argparse.Namespace, progress: Progress) -> None:
        self._arguments = arguments
        self._progress = progress
        self._machine = {"machine": "busy" if arguments.busy else "quiet"}
        self._conditions = {**self._machine, "seed": arguments.seed}

    def journal(self, part: str) -> Journal:
        """What a part has measured so far with this seed."""
        return Journal(self._arguments.work / f"{part}.jsonl", self._conditions)

    def lines(self, *parts: str) -> list[dict[str, Any]]:
        """What some parts have measured so far with any seed."""
        return [
            line
            for part in parts
            for line in Journal(self._arguments.work / f"{part}.jsonl", self._machine).lines()
        ]

    def placebo(self) -> None:
        """Virtual faults on a recording of each load rate."""
        for rate in self._arguments.rates:
            path = self._arguments.work / f"{self._conditions['machine']}-{rate:g}.recording"
            if not path.exists():
                with self._busy():
                    record(
                        self._options(f"truth-{rate:g}", rate), self._arguments.minutes, path, self._progress
                    )
            self._placebo_trials(rate, path)

    def _placebo_trials(self, rate: float, path: Path) -> None:
        recording = Recording.read(path).described
        journal = Journal(
            self._arguments.work / "placebo.jsonl",
            {**self._conditions, "journeys_per_s": rate, "recording": recording.run_id},
        )
        done = {Trial(**line["trial"]) for line in journal.lines()}
        # In an order that chance chose, what there is at any time is even.
        todo = [trial for trial in self._trials(recording) if trial not in done]
        with (
            self._progress.stage(f"placebo at {rate:g} journeys/s") as stage,
            ProcessPoolExecutor(self._arguments.jobs, initializer=_read, initargs=(path,)) as pool,
        ):
            judged = 0
            for outcomes in pool.map(_run, _parts(todo, self._arguments.jobs)):
                judged += len(outcomes)
                for outcome in outcomes:
                    journal.add(outcome)
                stage.advance(judged, len(todo))
                stage.show(f"{judged} of {len(todo)} trials")

    def _trials(self, recording: Described) -> list[Trial]:
        """Of each contract that one of the kinds declares, its part of the trials at one rate."""
        count = -(-self._arguments.trials // len(self._arguments.rates))
        found = [
            trial
            for declared in contracts()
            if declared.kinds & set(self._arguments.kinds)
            for trial in trials_of(recording, declared, count, self._arguments.seed)
        ]
        random.Random(f"{self._arguments.seed}/order").shuffle(found)
        return found

    def injections(self) -> None:
        """Real faults of each kind, some beside twins."""
        journal = self.journal("injections")
        done = {line["session"] for line in journal.lines()}
        options = self._options("truth-injections", max(self._arguments.rates))
        plan = plan_of(self._arguments.injections, self._arguments.seed, options.topology)
        sessions = sessions_of([fault for fault in plan if fault.kind in self._arguments.kinds])
        for number, session in enumerate(sessions):
            if number not in done:
                with_twin = number < self._arguments.twins
                with self._busy():
                    found = run_session(number, session, options, self._progress, with_twin=with_twin)
                for each in found:
                    journal.add(each)

    def overlaps(self) -> None:
        """Weak and idle faults under strong ones."""
        journal = self.journal("overlaps")
        done = {line["session"] for line in journal.lines()}
        options = self._options("truth-overlaps", max(self._arguments.rates))
        rounds = rounds_of(self._arguments.overlaps, self._arguments.seed, options.topology)
        for number, session in enumerate(sessions_of_rounds(rounds)):
            if number not in done:
                with self._busy():
                    found = run_rounds(number, session, options, self._progress)
                for each in found:
                    journal.add(each)

    def leaks(self) -> None:
        """A campaign of all kinds over all services, and what must not tell its windows apart."""
        journal = self.journal("leaks")
        if list(journal.lines()):
            return
        options = self._options("truth-leaks", max(self._arguments.rates))
        plan = campaign_of(options, self._arguments.faults, is_balanced=True)
        options = replace(options, fault_free_s=60.0)
        with self._busy(), EmbeddedSystem(options, self._progress) as system:
            system.start()
            system.client.campaigns.run(plan, progress=self._progress)
            count_down(self._progress, "until every window is final", 60.0)
            system.finish_run()
            system.stop_processes()
            windows = envelopes(system.broker, system.run_id)
        areas = Areas(
            seed=self._arguments.seed,
            windows=len(windows),
            areas=leaks(windows),
            spread=chance(windows),
            anomalous=anomalous_by_service(windows),
            hindsight=constant_in_hindsight(windows),
        )
        journal.add(areas)

    def claims(self) -> list[Claim]:
        """Of everything that was measured on such a machine."""
        injected = self.lines("injections", "overlaps")
        found = [*placebo_claims(self.lines("placebo")), *injection_claims(injected)]
        for line in self.lines("leaks"):
            found += leak_claims(line["areas"], line["windows"], line["spread"])
        return found

    def facts(self) -> list[str]:
        """What to know of the measurement."""
        return [
            *journal_facts({part: self.lines(part) for part in PARTS}),
            *placebo_facts(self.lines("placebo")),
            *injection_facts(self.lines("injections", "overlaps")),
            *leak_facts(self.lines("leaks")),
        ]

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        """With `--busy`, so many processes that do nothing but burn a processor each."""
        processors = (os.cpu_count() or 2) // 2 if self._arguments.busy else 0
        burning = [
            subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(processors)
        ]
        try:
            yield
        finally:
            for process in burning:
                process.kill()
                process.wait()

    def _options(self, name: str, rate: float) -> SystemOptions:
        return SystemOptions(name=name, seed=self._arguments.seed, journeys_per_s=rate)


_recording: list[Recording] = []
"""Of this worker process, read once."""


def _read(path: Path) -> None:
    _recording[:] = [Recording.read(path)]


def _run(trials: list[Trial]) -> list[Judged]:
    return run_pass(_recording[0], trials)


def _parts(trials: Sequence[Trial], jobs: int) -> list[Sequence[Trial]]:
    """The trials of each pass: enough to make reading the telemetry cheap, few enough to lose little."""
    size = min(_MOST_IN_A_PASS, -(-len(trials) // jobs) or 1)
    return [trials[begin : begin + size] for begin in range(0, len(trials), size)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", default=[], help=f"any of {', '.join(PARTS)}; all by default")
    parser.add_argument(
        "--trials", type=int, default=500, help="placebo trials of each contract, over all rates"
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="length of each recording")
    parser.add_argument("--rates", type=float, nargs="+", default=[4.0, 8.0], help="journeys per second")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that replay recordings")
    parser.add_argument("--injections", type=int, default=20, help="real faults of each kind")
    parser.add_argument(
        "--twins", type=int, default=2, help="sessions of real faults with a twin; 44 in each"
    )
    parser.add_argument("--overlaps", type=int, default=102, help="weak and idle faults under strong ones")
    parser.add_argument("--faults", type=int, default=48, help="of the campaign that is looked at for leaks")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=kinds_of_services(),
        default=kinds_of_services(),
        metavar="KIND",
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--busy", action="store_true", help="burn half of the processors while a system runs")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "truth", help="folder of recordings and journals"
    )
    parser.add_argument("--out", type=Path, help="folder to write the figures to, e.g. benchmarks/results")
    arguments = parser.parse_args()
    if unknown := set(arguments.part) - set(PARTS):
        parser.error(f"no part {min(unknown)!r}; there are {', '.join(PARTS)}")
    return arguments


def main() -> int:
    """Runs the parts, prints what is known by now, and writes it to a folder with `--out`."""
    arguments = _arguments()
    console = Console()
    benchmark = Benchmark(arguments, TerminalProgress(console))
    for part in arguments.part or PARTS:
        getattr(benchmark, part)()
    claims = benchmark.claims()
    machine = "busy" if arguments.busy else "quiet"
    title = f"Truth of effects, {machine} machine"
    show(claims, console, title)
    if arguments.out is not None:
        facts = [
            *machine_facts(),
            f"{machine} machine, {', '.join(f'{rate:g}' for rate in arguments.rates)} journeys/s",
            *benchmark.facts(),
        ]
        command = f"{COMMAND} --busy" if arguments.busy else COMMAND
        write(claims, SENTENCES, facts, arguments.out, name=f"truth_{machine}", title=title, command=command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
