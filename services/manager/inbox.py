"""Messages of all topics that a manager follows, as what its decider is told."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator

import numpy as np

from microservo.adapters.broker import Message
from microservo.domain.geography import RequestCounts
from microservo.domain.manager import events
from microservo.domain.manager.accounting import Accounts
from microservo.errors import Fatal, InvalidInput, InvalidMessage
from microservo.log.dead_letters import DeadLetters
from microservo.runtime.metrics import RECORDS_TOTAL
from schemas.catalogue import (
    ANOMALY_SCORES,
    CONTROL_COMMANDS,
    MANAGER_HEARTBEATS,
    REQUEST_LOCATIONS,
    ROOT_CAUSES,
    SYSTEM_STATE,
    TELEMETRY_METRICS,
)
from schemas.codec import SchemaError, decode
from schemas.envelope import Headers
from schemas.records import (
    AnomalyScore,
    ControlCommand,
    ManagerHeartbeat,
    MetricBatch,
    RequestLocations,
    RootCause,
)
from services.manager.shared import SharedState, later_life

logger = logging.getLogger(__name__)

_LIFE = "life"
FOLLOWED = (ANOMALY_SCORES, MANAGER_HEARTBEATS, REQUEST_LOCATIONS, ROOT_CAUSES, TELEMETRY_METRICS)
"""Topics of which only what comes from now on counts."""


class Inbox:
    """Reads messages.

    Attributes:
        life_us: when the manager's life began.

    Args:
        name: of the manager.
        life_us: when its life began.
        shared: takes messages of `system-state`.
        accounts: takes points of metrics.
        prefix: of the topics' names.
        dead_letters: take what can't be read.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        name: str,
        life_us: int,
        *,
        shared: SharedState,
        accounts: Accounts,
        prefix: str,
        dead_letters: DeadLetters,
        clock: Callable[[], int],
    ) -> None:
        self._name = name
        self.life_us = life_us
        self._lives: dict[str, int] = {}
        """The newest life of each other manager, by its heartbeats."""
        self._shared = shared
        self._accounts = accounts
        self._prefix = prefix
        self._dead_letters = dead_letters
        self._clock = clock

    def read(self, message: Message) -> Iterator[events.Event]:
        """What a message tells.

        Raises:
            Fatal: a later process of this name lives.
        """
        topic = message.topic.removeprefix(self._prefix)
        try:
            if topic == SYSTEM_STATE:
                yield from self._shared.read(message)
            elif message.value is not None:
                record = decode(message.value)
                self._check_life(message, record)
                yield from self._told(record)
        except (InvalidMessage, InvalidInput, SchemaError) as error:
            RECORDS_TOTAL.labels("manager", topic, "rejected").inc()
            logger.warning("%s offset %d can't be read: %s", message.topic, message.offset, error)
            if topic == CONTROL_COMMANDS:
                self._dead_letters.reject(message, str(error))

    def _check_life(self, message: Message, record: object) -> None:
        """Refuses what another manager orders in a life that is over.

        Raises:
            InvalidMessage: it is one of those.
        """
        life = message.header(_LIFE)
        if isinstance(record, ControlCommand) and life is not None:
            newest_us = self._lives.get(record.requested_by, 0)
            if not life.isdigit() or int(life) < newest_us:
                msg = f"an earlier life of {record.requested_by} ordered {record.action} of {record.entity}"
                raise InvalidMessage(msg)

    def _told(self, record: object) -> Iterator[events.Event]:
        now_us = self._clock()
        if isinstance(record, MetricBatch):
            self._accounts.add(record)
        elif isinstance(record, ControlCommand):
            yield events.CommandGiven(now_us=now_us, command=record)
        elif isinstance(record, ManagerHeartbeat):
            yield from self._heard(record, now_us)
        elif isinstance(record, RequestLocations):
            yield events.LocationsSeen(now_us=now_us, service=record.service, counts=_counts_of(record))
        elif isinstance(record, AnomalyScore):
            # NaN: the algorithm is not ready, as each is at its beginning.
            if not math.isfinite(record.score):
                return
            field = f"anomaly-score/{record.algorithm}"
            yield events.ServicesScored(now_us=now_us, field=field, by_service={record.service: record.score})
        elif isinstance(record, RootCause):
            ranks = {service: float(place) for place, service in enumerate(record.ranks, start=1)}
            field = f"root-cause-rank/{record.algorithm}"
            yield events.ServicesScored(now_us=now_us, field=field, by_service=ranks)

    def _heard(self, record: ManagerHeartbeat, now_us: int) -> Iterator[events.Event]:
        if record.name == self._name:
            if record.life_us > self.life_us:
                raise Fatal(later_life(self._name))
        elif record.life_us >= self._lives.get(record.name, 0):
            self._lives[record.name] = record.life_us
            yield events.Heartbeat(now_us=now_us, name=record.name, running=frozenset(record.running))


def life_header(life_us: int) -> Headers:
    """What says in which life of its manager a message was written."""
    return ((_LIFE, str(life_us).encode()),)


def _counts_of(record: RequestLocations) -> RequestCounts:
    return RequestCounts(
        latitude=np.asarray(record.latitudes, np.float64),
        longitude=np.asarray(record.longitudes, np.float64),
        count=np.asarray(record.counts, np.int64),
        at_us=np.full(len(record.counts), record.to_us, np.int64),
    )
