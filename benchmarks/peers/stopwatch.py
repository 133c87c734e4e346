"""Counts records from the first to the last and prints the result as JSON. Each peer has one."""

from __future__ import annotations

import json
import os
import sys
import time


class Stopwatch:
    """Ends the process once `records` were counted or `limit_s` seconds have passed since the first."""

    def __init__(self, records: int, limit_s: float) -> None:
        self._records = records
        self._limit_s = limit_s
        self._count = 0
        self._started_s = 0.0
        self._cpu_started_s = 0.0

    def count(self) -> None:
        if not self._count:
            self._started_s, self._cpu_started_s = time.perf_counter(), time.process_time()
        self._count += 1
        if self._count >= self._records or (self._count % 1000 == 0 and self._elapsed_s() > self._limit_s):
            self._stop()

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._started_s

    def _stop(self) -> None:
        result = {
            "records": self._count,
            "elapsed_s": self._elapsed_s(),
            "cpu_s": time.process_time() - self._cpu_started_s,
        }
        os.write(1, json.dumps(result).encode() + b"\n")
        os._exit(0)  # an orderly end of an engine takes seconds and measures nothing


def arguments() -> tuple[str, str, Stopwatch]:
    """Bootstrap servers, topic and stopwatch from the command line: BOOTSTRAP TOPIC RECORDS LIMIT_S."""
    bootstrap, topic, records, limit_s = sys.argv[1:5]
    return bootstrap, topic, Stopwatch(int(records), float(limit_s))
