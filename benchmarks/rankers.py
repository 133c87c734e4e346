"""How often each ranker has the cause first, on faults that its weights were not chosen on.

`python -m benchmarks.rankers` judges the shipped rankers on the recording that is shipped; given others
(`python -m benchmarks.sample --out DIR`), datasets, or runs of a broker, on those. All run behind the fence,
and are shown what the board's oracle shows them.

The weights of the multi-signal ranker were chosen on recorded runs (`--seen` names those of what is given).
So two more rows choose them anew and judge what was held out: each half of the kinds by the other one, and
each recording by the others.

Metrics alone can fail where a kind promises nothing of a metric (`need_not_show_in_a_metric`): that is what
the catalogue says of kinds, whatever the recordings show.

Beside the table stands in how many cases only one of a ranker and BARO has the cause first, and how likely so
uneven a split is where both are as good (exact McNemar test).
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.facts import machine_facts, time_fact
from benchmarks.figures import Figure, figure, show, write
from benchmarks.ranker_cases import JudgedCase, of_recording, of_sample
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.algorithms import resolve
from microservo.algorithms.running import Workplace
from microservo.algorithms.sample import Sample
from microservo.algorithms.shipped.rankers import multi_signal
from microservo.datasets.recording import RecordedDataset
from microservo.domain.faults.catalogue import KINDS
from microservo.log.recorded_run import RecordedRun
from microservo.supervision.environments import EnvironmentCache
from microservo.supervision.fence import Fence
from microservo.supervision.system_file import environments_folder

COMMAND = "python -m benchmarks.rankers"
RANKERS = ("random-ranker", "most-deviating", "random-walk", "baro", "multi-signal")
PEER = "baro"
OURS = "multi-signal"
OTHER_KINDS = "multi-signal by other kinds"
OTHER_RECORDINGS = "multi-signal by other recordings"
ALL, UNSEEN, ELSEWHERE = "all", "recordings not seen", "kinds that need not show in a metric"
ANSWERABLE = "two windows since the alarm, or more"
"""BARO leaves out what does not change since the alarm. Of one window that is all: it ranks nothing."""
_TRIES = 150
_DEADLINE_S = 600.0
"""How long an answer takes is not the question here, and the machine may be busy."""
_KS = (1, 3)

Ranks = tuple[str, ...]
Weights = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A case as the multi-signal ranker takes it."""

    case: JudgedCase
    deviations: Mapping[str, Mapping[str, float]]
    peaks: Mapping[str, Mapping[str, float]]
    graph: Sequence[tuple[str, str]]
    alarm_s: float

    def ranks(self, weights: Weights) -> Ranks:
        found = multi_signal(
            None, self.alarm_s, deviations=self.deviations, peaks=self.peaks, graph=self.graph, **weights
        )
        return tuple(found["ranks"])


def ranked(name: str, cases: Sequence[JudgedCase], folder: Path) -> list[Ranks]:
    """What a shipped ranker says of each case, behind the fence."""
    plugin = resolve(name, {"deadline": _DEADLINE_S})
    workplace = Workplace(plugin, Fence.find(), EnvironmentCache(environments_folder()), folder)
    with workplace.environment() as environment, workplace.running(environment) as running:
        running.session.open()
        return [running.session.rank(each.shown).services for each in cases]


def held_out(prepared: Sequence[_Prepared], part: Callable[[JudgedCase], str]) -> list[Ranks]:
    """The ranks of each case by the weights that are best on all parts but its own."""
    tried = list(_weights())
    hits = [[_hit(each.ranks(weights), each.case, 1) for each in prepared] for weights in tried]
    chosen: dict[str, Weights] = {}
    for name in sorted({part(each.case) for each in prepared}):
        others = [at for at, each in enumerate(prepared) if part(each.case) != name]
        # Of equal ones the first: the shipped weights count as the usual.
        best = max(range(len(tried)), key=lambda at: (sum(hits[at][other] for other in others), -at))
        chosen[name] = tried[best]
    return [each.ranks(chosen[part(each.case)]) for each in prepared]


def _weights() -> Iterator[Weights]:
    """The shipped weights, then others by chance."""
    yield {}
    dice = random.Random(7)
    for _ in range(_TRIES):
        yield {
            "resources_weight": dice.choice((0.5, 1.0, 2.0)),
            "peaks_weight": dice.choice((0.5, 1.0, 2.0)),
            "symptoms_weight": dice.choice((0.3, 1.0, 2.0)),
            "logs_weight": dice.choice((0.3, 1.0)),
            "calls_weight": dice.choice((0.3, 1.0, 2.0)),
            "explained": dice.choice((0.3, 0.6, 1.0)),
            "top_k": dice.choice((1, 2, 3)),
        }


def _hit(ranks: Ranks, case: JudgedCase, k: int) -> bool:
    return case.cause in ranks[:k]


@dataclass(frozen=True, slots=True)
class Judged:
    """Cases, and what each ranker said of them."""

    cases: Sequence[JudgedCase]
    ranks: Mapping[str, Sequence[Ranks]]

    def hits(self, name: str, places: Sequence[int], k: int) -> list[bool]:
        """Whether the cause is among the first `k` of each case."""
        return [_hit(self.ranks[name][at], self.cases[at], k) for at in places]

    def places(self, is_wanted: Callable[[JudgedCase], bool]) -> list[int]:
        """Which cases are wanted."""
        return [at for at, case in enumerate(self.cases) if is_wanted(case)]

    def figures(self, title: str, places: Sequence[int]) -> Iterator[Figure]:
        """AC@1 and AC@3 of each ranker beside BARO's."""
        for k in _KS if places else ():
            of_peer = self.hits(PEER, places, k)
            for name in self.ranks:
                if name != PEER:
                    yield figure(
                        f"AC@{k}, {name}, {title} ({len(places)} faults)",
                        _mean(self.hits(name, places, k)),
                        "",
                        peer="BARO",
                        peer_value=_mean(of_peer),
                        command=COMMAND,
                    )

    def duel(self, name: str, title: str, places: Sequence[int]) -> str:
        """In how many cases only one of a ranker and BARO has the cause first, and how likely that is."""
        pairs = list(zip(self.hits(name, places, 1), self.hits(PEER, places, 1), strict=True))
        own, other = pairs.count((True, False)), pairs.count((False, True))
        return (
            f"{title}: {name} alone has the cause first in {own}, BARO alone in {other} of {len(places)}, "
            f"p = {mcnemar(own, other):.2g}"
        )


def judged(cases: Sequence[JudgedCase], folder: Path) -> Judged:
    """All rankers on all cases; with the weights of multi-signal as shipped, and chosen on others."""
    ranks = {name: ranked(name, cases, folder) for name in RANKERS}
    declaration = resolve(OURS).declaration
    prepared = []
    for case in cases:
        inside = case.inside(declaration)
        prepared.append(_Prepared(case, inside.deviations(), inside.peaks(), inside.graph, inside.alarm_s))
    ranks[OTHER_KINDS] = held_out(prepared, _half_of(cases))
    if len({each.recording for each in cases}) > 1:
        ranks[OTHER_RECORDINGS] = held_out(prepared, lambda case: case.recording)
    return Judged(cases, ranks)


def mcnemar(one: int, other: int) -> float:
    """How likely so uneven a split of the cases that only one of two gets right is, if both are as good."""
    total = one + other
    as_uneven = sum(comb(total, count) for count in range(min(one, other) + 1))
    return min(1.0, float(2 * as_uneven / 2**total))


def _half_of(cases: Sequence[JudgedCase]) -> Callable[[JudgedCase], str]:
    """Every other kind, by name, is in one half."""
    kinds = sorted({each.kind for each in cases})
    return lambda case: str(kinds.index(case.kind) % 2)


def _mean(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def need_not_show_in_a_metric(kind: str) -> bool:
    """Whether a kind of fault, so strong that it shows, promises nothing of any metric of its service."""
    fault = KINDS[kind]
    return not any(each.of == "metric" for each in fault.from_text(fault.strong).contract().root)


def windows_since_alarm(case: JudgedCase) -> int:
    """How many windows a ranker is shown from the alarm on."""
    return int((case.shown.start_us >= case.shown.alarm_us).sum())


def main() -> int:
    """Judges, prints the table, and writes it to a folder with `--out`."""
    arguments = _arguments()
    started_s, load_before = time.monotonic(), os.getloadavg()[0]
    cases = _cases(arguments)
    with tempfile.TemporaryDirectory() as folder:
        # The user of a fence reads what lies in it.
        Path(folder).chmod(0o755)
        found = judged(cases, Path(folder))
    parts = _parts(found, arguments.seen)
    listed = [each for title, places in parts.items() for each in found.figures(title, places)]
    console = Console()
    show(listed, console, title="Rankers beside BARO")
    duels = [
        found.duel(name, title, parts[title])
        for title in (ALL, UNSEEN, ELSEWHERE, ANSWERABLE)
        for name in (OURS, OTHER_KINDS, OTHER_RECORDINGS)
        if title in parts and name in found.ranks
    ]
    console.print(*duels, sep="\n")
    if arguments.out is not None:
        facts = [time_fact(time.monotonic() - started_s, load_before), *machine_facts()]
        facts += [f"recordings: {_described(cases)}", *duels]
        write(listed, facts, arguments.out, name="rankers", title="Rankers on faults that are not their own")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("recordings", nargs="*", help="folders of samples or datasets, or runs of the broker")
    parser.add_argument("--bootstrap-servers", help="of the broker with the runs")
    parser.add_argument("--seen", nargs="*", default=(), help="recordings that the weights were chosen on")
    parser.add_argument("--out", type=Path, help="folder to write to, e.g. benchmarks/results")
    return parser.parse_args()


def _cases(arguments: argparse.Namespace) -> list[JudgedCase]:
    declaration = resolve(OURS).declaration
    if not arguments.recordings:
        return of_sample(Sample.read(), declaration)
    found = []
    for name in arguments.recordings:
        if (Path(name) / "sample.json").is_file():
            cases = of_sample(Sample.read(Path(name)), declaration)
            found += [replace(each, recording=Path(name).name) for each in cases]
        elif Path(name).is_dir():
            found += of_recording(RecordedDataset(Path(name)), declaration)
        else:
            settings = KafkaSettings(bootstrap_servers=arguments.bootstrap_servers)
            found += of_recording(RecordedRun(KafkaBroker(settings), name), declaration)
    return found


def _parts(found: Judged, seen: Sequence[str]) -> dict[str, list[int]]:
    """All cases, some of them, and those of each kind."""
    parts = {ALL: found.places(lambda _: True)}
    if seen:
        parts[UNSEEN] = found.places(lambda case: case.recording not in seen)
    parts[ELSEWHERE] = found.places(lambda case: need_not_show_in_a_metric(case.kind))
    parts[ANSWERABLE] = found.places(lambda case: windows_since_alarm(case) > 1)
    for kind in sorted({each.kind for each in found.cases}):
        parts[kind] = [at for at, case in enumerate(found.cases) if case.kind == kind]
    return parts


def _described(cases: Sequence[JudgedCase]) -> str:
    names = [each.recording for each in cases]
    return ", ".join(f"{name} ({names.count(name)} faults)" for name in dict.fromkeys(names))


if __name__ == "__main__":
    sys.exit(main())
