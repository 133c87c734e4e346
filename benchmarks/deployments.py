"""What a deployed algorithm costs on a real broker: `python -m benchmarks.deployments`, five minutes.

One runner, N-sigma, windows of 60 features of twelve services. From deploying to the first score,
from a window to its score, and what host, algorithm and runner use while nothing comes and while windows do.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from benchmarks.command import run
from benchmarks.figures import Figure, figure
from microservo import Client
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import running_broker
from microservo.adapters.processes import child_environment, python_argv
from microservo.log.reader import read_topic
from microservo.log.run_records import write_run
from microservo.log.topics import topic_specs
from microservo.supervision.environment_build import pip_variables
from microservo.testing import eventually
from schemas.catalogue import ANOMALY_SCORES, FEATURE_WINDOWS
from schemas.codec import decode_as, encode
from schemas.records import AlgorithmState, AnomalyScore, Experiment, FeatureWindow

COMMAND = "python -m benchmarks.deployments"
_ASKED_S = 10.0
_SERVICES = tuple(f"service-{number:02d}" for number in range(12))
_NAMES = tuple(f"metric/{number:02d}/mean" for number in range(60))
_WINDOW_US = 5_000_000
_PARTITIONS = 3
_PAST = 100
_LIVE = 60
_EACH_S = 0.5
_MEASURED_S = 15.0
_WAIT_S = 120.0
_DEPLOYS = 100
"""So many that one of them is the p99."""
_RUN = "run-1"


class _Bench:
    """A broker with a run on it, and the runner."""

    def __init__(self, servers: str, folder: Path) -> None:
        self.client = Client(servers)
        self._broker = KafkaBroker(KafkaSettings(bootstrap_servers=servers))
        self._begin_us = now_us() - _PAST * _WINDOW_US
        self._rng = np.random.default_rng(7)
        self._next = 0
        self._broker.admin().ensure_topics(topic_specs(prefix="", partitions=_PARTITIONS))
        write_run(self._broker, self._run(), process="system", clock=now_us)
        self._environment = {
            **pip_variables(),
            "MICROSERVO_BOOTSTRAP_SERVERS": servers,
            "MICROSERVO_RUN_ID": _RUN,
            "MICROSERVO_ALGORITHMS_FOLDER": str(folder / "algorithms"),
            "MICROSERVO_ENVIRONMENTS": str(folder / "environments"),
        }
        self.log = folder / "runner.log"

    @contextmanager
    def runner(self) -> Iterator[psutil.Process]:
        """The runner, as long as the block."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                python_argv("services.algorithm_runner"),
                env=child_environment(self._environment),
                stdout=log,
                stderr=log,
            )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def send(self, instants: int) -> None:
        """Windows of all services, of so many instants."""
        with self._broker.producer(linger_ms=0) as producer:
            for _ in range(instants):
                start_us = self._begin_us + self._next * _WINDOW_US
                self._next += 1
                for at, service in enumerate(_SERVICES):
                    value = encode(self._window(service, start_us))
                    headers = (("run", _RUN.encode()),)
                    producer.send(
                        FEATURE_WINDOWS,
                        key=service.encode(),
                        value=value,
                        headers=headers,
                        partition=at % _PARTITIONS,
                    )
            producer.flush(30)

    def deployed_s(self, name: str) -> float:
        """Seconds from deploying N-sigma under a name to its first score."""
        deployed_us = self.client.algorithms.deploy("n-sigma", name=name).deployed_at_us

        def first_score_us() -> int | None:
            state = self._state(name)
            return state.first_score_at_us if state is not None else None

        found = eventually(first_score_us, timeout_s=_WAIT_S, what=f"a score of {name}")
        return ((found or 0) - deployed_us) / 1e6

    def latencies_ms(self, since_us: int) -> list[float]:
        """From each window to its score, of windows that came since an instant."""
        messages = read_topic(self._broker, ANOMALY_SCORES, start=since_us)
        return [decode_as(AnomalyScore, each.value).latency_us / 1e3 for each in messages if each.value]

    def _state(self, name: str) -> AlgorithmState | None:
        for listed in self.client.algorithms.list():
            if listed.deployment.algorithm == name and listed.states:
                return listed.states[0]
        return None

    def _window(self, service: str, start_us: int) -> FeatureWindow:
        return FeatureWindow(
            run_id=_RUN,
            service=service,
            start_us=start_us,
            end_us=start_us + _WINDOW_US,
            revision=0,
            names=_NAMES,
            values=tuple(self._rng.normal(10, 1, len(_NAMES)).tolist()),
        )

    def _run(self) -> Experiment:
        return Experiment(
            run_id=_RUN,
            status="running",
            seed=7,
            target="benchmark",
            started_at_us=self._begin_us,
            window_us=_WINDOW_US,
            first_cut_us=1_000_000,
            final_cut_us=1_000_000,
            start_offsets={},
            end_offsets={},
            versions={},
            fault_free_until_us=self._begin_us + _PAST * _WINDOW_US,
        )


def figures(servers: str, folder: Path) -> Iterator[Figure]:
    """Deploying, latencies, and what is used."""
    bench = _Bench(servers, folder)
    bench.send(_PAST)
    with bench.runner() as runner:
        bench.deployed_s("builds")
        bench.deployed_s("n")
        yield from _deploys(bench, "checks passed before", lambda: None)
        yield from _deploys(bench, "with all checks", lambda: _forget_checks(folder))
        bench.client.algorithms.remove("builds")
        eventually(lambda: len(_hosts(runner)) == 1, timeout_s=_WAIT_S)
        (host,) = _hosts(runner)
        processes = {
            "runner": [runner],
            "host": [host],
            "algorithm and its fence": host.children(recursive=True),
        }
        time.sleep(3)
        yield from _used(processes, "idle", lambda: time.sleep(_MEASURED_S))
        since_us = now_us()
        yield from _used(processes, "12 windows each 5 s", lambda: _steadily(bench, 3, 5.0))
        for _ in range(_LIVE):
            bench.send(1)
            time.sleep(_EACH_S)
        time.sleep(2)
        latencies_ms = bench.latencies_ms(since_us)
        for title, share in (("p50", 0.5), ("p99", 0.99)):
            yield figure(
                f"Window to score, {title} of {len(latencies_ms)}",
                float(np.quantile(latencies_ms, share)),
                "ms",
                peer="asked for" if title == "p99" else "none",
                peer_value=250.0 if title == "p99" else None,
                command=COMMAND,
            )


def _deploys(bench: _Bench, how: str, before_each: Callable[[], None]) -> Iterator[Figure]:
    """From deploying to the first score, one after another; each is removed before the next."""
    took_s, first = [], how.partition(" ")[0]
    for number in range(_DEPLOYS):
        before_each()
        name = f"{first}-{number}"
        took_s.append(bench.deployed_s(name))
        bench.client.algorithms.remove(name)
    for title, share in (("p50", 0.5), ("p99", 0.99)):
        yield figure(
            f"Deploy to first score, cached environment, {how}, {title} of {_DEPLOYS}",
            float(np.quantile(took_s, share)),
            "s",
            peer="asked for" if title == "p99" else "none",
            peer_value=_ASKED_S if title == "p99" else None,
            command=COMMAND,
        )


def _used(
    processes: dict[str, list[psutil.Process]], when: str, meanwhile: Callable[[], None]
) -> Iterator[Figure]:
    before, began_s = {name: _cpu_s(each) for name, each in processes.items()}, time.monotonic()
    meanwhile()
    took_s = time.monotonic() - began_s
    for name, each in processes.items():
        share = 100 * (_cpu_s(each) - before[name]) / took_s
        yield figure(
            f"CPU of {name}, {when}", share, "% of a core", peer="", peer_value=None, command=COMMAND
        )
        mib = sum(process.memory_full_info().pss for process in each) / (1 << 20)
        yield figure(f"Memory of {name}, {when}", mib, "MiB (PSS)", peer="", peer_value=None, command=COMMAND)


def _steadily(bench: _Bench, rounds: int, each_s: float) -> None:
    for _ in range(rounds):
        bench.send(1)
        time.sleep(each_s)


def _cpu_s(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


def _hosts(runner: psutil.Process) -> list[psutil.Process]:
    found = []
    for process in runner.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "services.algorithm_host" in process.cmdline():
                found.append(process)
    return found


def _forget_checks(folder: Path) -> None:
    for path in (folder / "algorithms" / "checks").iterdir():
        path.unlink()


def _on_a_broker(folder: Path, _: argparse.Namespace) -> Iterator[Figure]:
    with running_broker(folder / "broker") as process:
        yield from figures(process.bootstrap_servers, folder)


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(parser, _on_a_broker, name="deployments", title="What a deployed algorithm costs")


if __name__ == "__main__":
    sys.exit(main())
