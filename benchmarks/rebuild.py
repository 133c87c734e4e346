"""The rebuild of a run's dataset, in a process of its own."""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

import psutil

from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.datasets import rebuild

_LOOK_S = 0.05
_CHILDREN_EVERY = 10


class _Memory:
    """The largest resident memory of this process and its children together, looked at now and then."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        for look in itertools.count():
            if look % _CHILDREN_EVERY == 0:
                # To find them costs far more than to look at them: it goes through all processes there are.
                processes = [own, *own.children(recursive=True)]
            self.peak_bytes = max(self.peak_bytes, sum(map(_rss_bytes, processes)))
            if self._done.wait(_LOOK_S):
                return


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _cpu_s() -> float:
    """Of this process and of its children that ended."""
    return sum(os.times()[:4])


def main() -> int:
    """Prints seconds, processor seconds, peak memory and bytes written: BOOTSTRAP RUN.

    Processor seconds and memory are those of all its processes.
    """
    bootstrap, run_id = sys.argv[1:3]
    broker = KafkaBroker(KafkaSettings(bootstrap_servers=bootstrap))
    with tempfile.TemporaryDirectory() as folder:
        started_s, cpu_started_s = time.perf_counter(), _cpu_s()
        with _Memory() as memory:
            manifest = rebuild(broker, run_id=run_id, out_dir=Path(folder) / "dataset")
        result = {
            "elapsed_s": time.perf_counter() - started_s,
            "cpu_s": _cpu_s() - cpu_started_s,
            "peak_rss_bytes": memory.peak_bytes,
            "dataset_bytes": sum(file.size_bytes for file in manifest.files),
        }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
