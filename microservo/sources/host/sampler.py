"""What instances and the host use, as rows like those that come by OTLP."""

from __future__ import annotations

import logging
import platform as this_machine
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan

import numpy as np

from microservo.domain.identity import Identity
from microservo.domain.rows import MetricRows, coded
from microservo.errors import InvalidInput, Unavailable
from microservo.platforms.platform import RUNS, Instance, Meter, Platform, Readings
from microservo.sources.host.host_meter import HostMeter
from microservo.sources.pulled import PulledSource

logger = logging.getLogger(__name__)

HOST = "host"
"""Service name of the host's own metrics."""

_TARGET = Identity(is_target=True)
_HOST = Identity(kind="host", is_target=True, host=this_machine.node())


def host_source(platform: Platform | None, clock: Callable[[], int], *, interval_s: float) -> PulledSource:
    """Samples the host, and the instances of a platform if one is given, once in an interval."""
    return PulledSource("host", "metrics", Sampler(platform, clock).sample, interval_s=interval_s)


class Sampler:
    """Reads all instances of the target and the host at one instant."""

    def __init__(self, platform: Platform | None, clock: Callable[[], int]) -> None:
        self._platform = platform
        self._clock = clock
        self._meter: Meter | None = None
        self._host = HostMeter(time.monotonic)
        self._restarts = _Restarts()
        self._downtime = _Downtime()

    def sample(self) -> list[MetricRows]:
        """Rows of every instance, of every service of the target whether it runs or not, and of the host."""
        asked_us = self._clock()
        instances, readings = self._read()
        now_us = self._clock()
        rows = [
            _rows(each.service, each.id, _TARGET, now_us, readings[each.id])
            for each in instances
            if each.id in readings
        ]
        rows += [
            _rows(service, "", _TARGET, now_us, values)
            for service, values in self._services(instances, readings, asked_us).items()
        ]
        rows.append(_rows(HOST, "", _HOST, now_us, self._host.read()))
        return rows

    def _read(self) -> tuple[Sequence[Instance], Readings]:
        if self._platform is None:
            return [], {}
        try:
            self._meter = self._meter or self._platform.meter()
            return self._platform.instances(), self._meter.read()
        except Unavailable:
            return [], {}
        except InvalidInput as error:
            logger.warning("the target can't be measured now, the host is: %s", error)
            return [], {}

    def _services(
        self, instances: Iterable[Instance], readings: Readings, asked_us: int
    ) -> dict[str, dict[str, float]]:
        """What goes for a service as a whole: by this, one whose instances are all down still has windows."""
        services: dict[str, dict[str, float]] = {}
        for each in instances:
            values = services.setdefault(
                each.service,
                {"service.instances.running": 0, "process.restarts": 0, "service.downtime": 0.0},
            )
            values["service.instances.running"] += RUNS in readings.get(each.id, ())
            values["process.restarts"] += self._restarts.of(each)
            values["service.downtime"] += self._downtime.of(each, asked_us) / 1e6
        return services


class _Restarts:
    """Tells whether an instance was started anew since the look before; of several times, the last.

    Not how often since the beginning: that would tell faults that are long over.
    """

    def __init__(self) -> None:
        self._started_at_us: dict[str, int] = {}

    def of(self, instance: Instance) -> bool:
        if not instance.is_up:
            return False
        before = self._started_at_us.get(instance.id)
        self._started_at_us[instance.id] = instance.started_at_us
        return before not in (None, instance.started_at_us)


class _Downtime:
    """Tells how long each instance was down since the look before, by when it ended and was started.

    So what lies between two looks shows too; of several times within one, the last.
    """

    def __init__(self) -> None:
        self._counted: dict[str, tuple[int, int]] = {}
        """By instance: when it last ended, and how much of the time since has been told."""

    def of(self, instance: Instance, asked_us: int) -> int:
        """Microseconds that were not told yet; 0 at the first look at an instance.

        Args:
            instance: as it was found.
            asked_us: epoch microseconds UTC, when it was looked for.
        """
        back_us = instance.started_at_us if instance.is_up else asked_us
        down_us = max(0, back_us - instance.ended_at_us) if instance.ended_at_us else 0
        ended_at_us, told_us = self._counted.get(instance.id, (instance.ended_at_us, down_us))
        self._counted[instance.id] = (instance.ended_at_us, down_us)
        return down_us - told_us if ended_at_us == instance.ended_at_us else down_us


def _rows(
    service: str, instance: str, identity: Identity, now_us: int, read: Mapping[str, float]
) -> MetricRows:
    # A platform that measures now and then knows of an instance that it runs before it knows what it uses.
    values = {name: value for name, value in read.items() if not isnan(value)}
    return MetricRows(
        service=service,
        instance=instance,
        identity=identity,
        time_us=np.full(len(values), now_us, np.int64),
        name=coded(values),
        value=np.array(list(values.values()), np.float64),
        is_metered=True,
    )
