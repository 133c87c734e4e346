"""Process and host metrics once a second, as rows like those that come by OTLP."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from microservo.domain.rows import MetricRows, coded
from microservo.errors import InvalidInput
from microservo.platforms.local.meter import ProcessMeter, Wanted
from microservo.sources.host.meters import HostMeter
from services.telemetry_collector.target import TargetInstance, read_target

logger = logging.getLogger(__name__)

HOST = "host"
"""Service name of the host's own metrics."""


class Sampler:
    """Reads all instances of the target and the host at one instant."""

    def __init__(self, state_file: Path | None, clock: Callable[[], int]) -> None:
        self._state_file = state_file
        self._clock = clock
        self._processes = ProcessMeter(time.monotonic)
        self._host = HostMeter(time.monotonic)
        self._known: list[TargetInstance] = []
        self._restarts = _Restarts()

    def sample(self) -> list[MetricRows]:
        """Rows of every instance, of every service of the target whether it runs or not, and of the host."""
        instances = self._instances()
        now_us = self._clock()
        metrics = self._processes.read({each.id: each.process for each in instances if each.process})
        rows = [
            _rows(each.service, each.id, now_us, metrics[each.id]) for each in instances if each.id in metrics
        ]
        rows += [
            _rows(service, "", now_us, values)
            for service, values in self._services(instances, metrics).items()
        ]
        rows.append(_rows(HOST, "", now_us, self._host.read()))
        return rows

    def _services(
        self, instances: Iterable[TargetInstance], metrics: Mapping[str, object]
    ) -> dict[str, dict[str, float]]:
        """What goes for a service as a whole: by this, one whose instances are all down still has windows."""
        services: dict[str, dict[str, float]] = {}
        for each in instances:
            values = services.setdefault(
                each.service, {"service.instances.running": 0, "process.restarts": 0}
            )
            values["service.instances.running"] += each.id in metrics
            values["process.restarts"] += self._restarts.of(each)
        return services

    def _instances(self) -> list[TargetInstance]:
        if self._state_file is not None:
            try:
                self._known = read_target(self._state_file)
            except InvalidInput as error:
                logger.warning("the instances known before are read once more: %s", error)
        return self._known


class _Restarts:
    """Counts how often each instance came back as another process since the collector began."""

    def __init__(self) -> None:
        self._processes: dict[str, Wanted] = {}
        self._counts: dict[str, int] = {}

    def of(self, instance: TargetInstance) -> int:
        before = self._processes.get(instance.id)
        if instance.process is not None:
            self._processes[instance.id] = instance.process
            if before is not None and before != instance.process:
                self._counts[instance.id] = self._counts.get(instance.id, 0) + 1
        return self._counts.get(instance.id, 0)


class Ticker:
    """Calls `act` in a thread of its own on a fixed grid of time, so that it neither drifts nor piles up.

    A call that takes longer than the interval makes the grid points it covers fall out.
    """

    def __init__(self, act: Callable[[], None], interval_s: float) -> None:
        self._act = act
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends after the call that is under way."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            try:
                self._act()
            except Exception:
                logger.exception("a sample failed; the next one is tried in time")
            due_s = next_due(due_s, time.monotonic(), self._interval_s)


def next_due(due_s: float, now_s: float, interval_s: float) -> float:
    """The first point of the grid after both `due_s` and now.

    Example:
        >>> next_due(10.0, 10.2, 1.0), next_due(10.0, 12.7, 1.0)
        (11.0, 13.0)
    """
    return due_s + interval_s * max(1, math.ceil((now_s - due_s) / interval_s))


def _rows(service: str, instance: str, now_us: int, values: Mapping[str, float]) -> MetricRows:
    return MetricRows(
        service=service,
        instance=instance,
        time_us=np.full(len(values), now_us, np.int64),
        name=coded(values),
        value=np.array(list(values.values()), np.float64),
    )
