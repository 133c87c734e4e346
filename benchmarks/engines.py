"""Each engine on the loaded broker, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from statistics import median_low

from benchmarks.figures import Figure, figure
from benchmarks.labeller import run_labeller
from benchmarks.load import JSON_TOPIC, Loaded
from benchmarks.processes import ROOT, Outcome, measure, own_python, peers_python
from benchmarks.stream import RUN_ID
from microservo.adapters.broker import Broker
from microservo.domain.joined_topics import SOURCES

COMMAND = "make bench"
_PEER_LIMIT_S = 25
_PEER_RUNS = 2
_TIMEOUT_S = 90
_CEILING = "consume and decode, no work"


class Engines:
    """Runs them; keeps what should be said beside the figures.

    Args:
        show: shows what is being measured.

    Attributes:
        remarks: what should be said beside the figures.
        failures: what gave no result, and why.
    """

    def __init__(
        self,
        broker: Broker,
        bootstrap_servers: str,
        loaded: Loaded,
        scratch: Path,
        show: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._bootstrap_servers = bootstrap_servers
        self._loaded = loaded
        self._scratch = scratch
        self._show = show
        self._records_per_message = loaded.records / loaded.messages
        self.remarks: list[str] = []
        self.failures: list[str] = []

    def labeller(self) -> Iterator[Figure]:
        """The labeller against the ceiling and against each peer at a windowed count."""
        self._show("measuring the labeller")
        done = run_labeller(
            self._broker,
            self._bootstrap_servers,
            messages=self._loaded.messages,
            log=self._scratch / "labeller.log",
        )
        ours = done.messages_per_s * self._records_per_message
        self.remarks.append(
            f"labeller: {done.windows} windows, {done.cpu_s:.1f} s of processor in {done.elapsed_s:.1f} s, "
            f"peak memory {done.peak_rss_bytes / 2**20:.0f} MiB"
        )
        for name, engine, rate in self._peers():
            peer = engine if rate is not None else f"{engine}: {name}"
            yield _rate(f"labeller vs {engine}", ours, peer=peer, peer_value=rate)
        yield _rate("labeller, share of the ceiling", ours, peer=_CEILING, peer_value=self._ceiling)

    def rebuild(self) -> Iterator[Figure]:
        """The rebuild of the whole stream into a dataset, against the ceiling."""
        self._show("measuring the rebuild")
        outcome = measure(
            own_python(), "benchmarks.rebuild", self._bootstrap_servers, RUN_ID, timeout_s=2 * _TIMEOUT_S
        )
        if outcome.result is None:
            self.failures.append(f"rebuild: {outcome.reason}")
        result = outcome.result or {}
        rate = self._loaded.records / result["elapsed_s"] if result else None
        yield _rate("rebuild, share of the ceiling", rate, peer=_CEILING, peer_value=self._ceiling)
        yield figure(
            "rebuild, peak memory",
            result["peak_rss_bytes"] / 2**20 if result else None,
            "MiB",
            peer="dataset written",
            peer_value=result["dataset_bytes"] / 2**20 if result else None,
            command=COMMAND,
        )

    @cached_property
    def _ceiling(self) -> float | None:
        """Records per second of the middle one of three; one alone takes under a second and varies."""
        self._show("measuring the ceiling")
        outcomes = [
            measure(
                own_python(), "benchmarks.ceiling", self._bootstrap_servers, *SOURCES, timeout_s=_TIMEOUT_S
            )
            for _ in range(3)
        ]
        rates = [rate for outcome in outcomes if (rate := outcome.rate("messages")) is not None]
        if not rates:
            self.failures.append(f"ceiling: {outcomes[0].reason}")
            return None
        return median_low(rates) * self._records_per_message

    def _peers(self) -> Iterator[tuple[str, str, float | None]]:
        """Reason, engine, and records per second at a windowed count, None where it could not run."""
        yield self._peer("Faust, tumbling table", "faust_table", own_python())
        self._show("making the peers' environment")
        python = peers_python(ROOT / "build" / "peers")
        for engine, module in (
            ("Bytewax, windowed count", "bytewax_count"),
            ("Quix Streams, windowed count", "quix_count"),
        ):
            yield self._peer(engine, module, python)

    def _peer(self, engine: str, module: str, python: Path | str) -> tuple[str, str, float | None]:
        self._show(f"measuring {engine}")
        if isinstance(python, str):
            outcome = Outcome(result=None, reason=python)
        else:
            outcome = self._run_peer(module, python)
        if outcome.result is None:
            self.failures.append(f"{engine}: {outcome.reason}")
        return outcome.reason, engine, outcome.rate("records")

    def _run_peer(self, module: str, python: Path) -> Outcome:
        """The outcome of the first run that has one; plain Faust stalls now and then."""
        limits = (str(self._loaded.json_records), str(_PEER_LIMIT_S))
        arguments = (self._bootstrap_servers, JSON_TOPIC, *limits)
        outcome = Outcome(result=None)
        for _ in range(_PEER_RUNS):
            outcome = measure(python, f"benchmarks.peers.{module}", *arguments, timeout_s=_TIMEOUT_S)
            if outcome.result is not None:
                break
        return outcome


def _rate(name: str, value: float | None, *, peer: str, peer_value: float | None) -> Figure:
    return figure(name, value, "records/s", peer=peer, peer_value=peer_value, command=COMMAND)
