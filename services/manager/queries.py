"""What registered queries give for hosts: a Prometheus is asked, and its answers are measurements."""

from __future__ import annotations

import logging
import queue
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from microservo.domain.manager import events
from microservo.domain.manager.entities import Host
from microservo.domain.manager.state import SystemState
from microservo.domain.rules import Field
from microservo.errors import MicroServoError
from microservo.runtime.log_limit import LogLimit
from microservo.sources.prometheus.api import PrometheusApi, Series
from services.manager.performing import Told

logger = logging.getLogger(__name__)

ASK_S = 5.0
_HOST_LABELS = ("host", "hostname", "node", "instance")
"""Labels that may say whom a series is about, with or without a port; the first that does counts."""


class FieldQueries:
    """Asks for each field that is registered with a query; for one thread.

    Args:
        api: of the Prometheus.
        state: whose fields and hosts count; only read.
        told: takes what was found.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        api: PrometheusApi,
        state: SystemState,
        told: queue.SimpleQueue[Told],
        clock: Callable[[], int],
    ) -> None:
        self._api = api
        self._state = state
        self._told = told
        self._clock = clock
        self._limit = LogLimit()

    def ask(self) -> None:
        """Asks for all fields once; one that can't be had is logged, and the others are told all the same."""
        fields: Mapping[str, Field] = self._state.of_kind("field")
        hosts = list(self._state.hosts.values())
        for field in list(fields.values()):
            if not field.query or not hosts:
                continue
            try:
                found = self._api.instant(field.query, self._clock())
            except MicroServoError as error:
                self._warn(field.name, str(error))
                continue
            self._tell(field.name, found, hosts)

    def close(self) -> None:
        """Closes the connections."""
        self._api.close()

    def _tell(self, field: str, found: Iterable[Series], hosts: list[Host]) -> None:
        values = values_of(found, hosts)
        for host in values.repeated:
            self._warn(
                field, f"several series are about host {host!r}; aggregate them, as by sum by (instance)"
            )
        if not values.by_host:
            self._warn(field, f"its query gives no series about a host, by {', '.join(_HOST_LABELS)}")
            return
        names = tuple(sorted(values.by_host))
        column = np.array([values.by_host[name] for name in names])
        self._told.put(
            lambda now_us: events.HostsMeasured(now_us=now_us, names=names, columns={field: column})
        )

    def _warn(self, field: str, problem: str) -> None:
        if (rest := self._limit.end_of_line(field, self._limit.kind(field, problem))) is not None:
            logger.warning("field %r: %s%s", field, problem, rest)


class HostValues:
    """What a query gives by host.

    Attributes:
        by_host: the value of each host that exactly one series is about; never NaN.
        repeated: hosts that several are about.
    """

    def __init__(self, found: Iterable[tuple[str, float]]) -> None:
        pairs = list(found)
        counts = Counter(host for host, _ in pairs)
        self.by_host = {host: value for host, value in pairs if counts[host] == 1 and np.isfinite(value)}
        self.repeated = sorted(host for host, count in counts.items() if count > 1)


def values_of(found: Iterable[Series], hosts: Iterable[Host]) -> HostValues:
    """The values of an instant vector, by the host that each is about.

    Args:
        found: series with `metric`, their labels, and `value`, seconds and text.
        hosts: those there are, known by name and by address.
    """
    names: dict[str, str] = {}
    for host in hosts:
        for text in (host.public_address, host.private_address, host.name):
            if text:
                names[text] = host.name
    pairs = ((_host_of(each["metric"], names), float(each["value"][1])) for each in found)
    return HostValues((host, value) for host, value in pairs if host)


def _host_of(labels: Mapping[str, Any], names: Mapping[str, str]) -> str:
    for label in _HOST_LABELS:
        text = str(labels.get(label, ""))
        for each in (text, text.rpartition(":")[0]):
            if each in names:
                return names[each]
    return ""
