"""Demand moves from region to region, and the services follow by the manager's rules.

::

    services and users in Europe ─► users in Asia ─► the rule sees demand far away ─► all services there
               before                             away                                    after
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.application.progress import Progress, Stage
from microservo.domain.telemetry import Int64, span_columns
from microservo.errors import Unavailable
from microservo.log.reader import read_topic
from microservo.retry import retry
from microservo.system.app_placing import AppPlacing
from microservo.system.hosts import HostOptions
from microservo.system.regional import RegionalSystem
from schemas.catalogue import TELEMETRY_TRACES
from schemas.codec import decode_as
from schemas.records import ControlEvent, SpanBatch

TOPOLOGY = Path(__file__).with_name("follow_the_sun.toml")
RULE = "follow-demand"
_GIB = 2**30
_LOOK_S = 0.5
_HOSTS_S, _LAUNCH_S, _FOLLOW_S = 60.0, 120.0, 150.0
_MOVE_S = 60.0
_STEADY_S = 20.0
"""How long users are watched before they move, and after the services have followed."""
_FLUSH_S = 3.0
"""What instrumentations and collector still hold when it ends."""
_USERS = "load_generator"


BERLIN = HostOptions(name="berlin", latitude=52.5, longitude=13.4, memory_bytes=4 * _GIB)
TOKYO = HostOptions(name="tokyo", latitude=35.7, longitude=139.7, memory_bytes=4 * _GIB)
CHICAGO = HostOptions(name="chicago", latitude=41.9, longitude=-87.6, memory_bytes=4 * _GIB)
HOSTS = (BERLIN, TOKYO, CHICAGO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """How many containers ran where at an instant (epoch microseconds UTC): by region, then by service."""

    at_us: int
    by_region: Counter[str]
    by_service: Counter[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long users waited, request by request.

    Attributes:
        start_us: when each began, epoch microseconds UTC; ascending.
        duration_us: how long it took.
        failed: whether it failed.
    """

    start_us: Int64
    duration_us: Int64
    failed: Int64

    def median_ms(self, from_us: int, to_us: int) -> float:
        """Of the requests that began in a span of time and went well; NaN without any."""
        return self.quantile_ms(0.5, from_us, to_us)

    def quantile_ms(self, share: float, from_us: int, to_us: int) -> float:
        """Which such a share of these requests did not exceed."""
        chosen = self._in(from_us, to_us) & (self.failed == 0)
        return float(np.quantile(self.duration_us[chosen], share)) / 1e3 if chosen.any() else float("nan")

    def failures(self, from_us: int, to_us: int) -> tuple[int, int]:
        """How many requests of a span of time failed, and how many there were."""
        chosen = self._in(from_us, to_us)
        return int(self.failed[chosen].sum()), int(chosen.sum())

    def _in(self, from_us: int, to_us: int) -> np.typing.NDArray[np.bool_]:
        return (self.start_us >= from_us) & (self.start_us < to_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class SunResult:
    """What came of it; instants are epoch microseconds UTC.

    Attributes:
        began_us: when all services ran in Europe.
        moved_us: when the users moved.
        first_us: when the first service ran at the new place.
        followed_us: when all ran there, and nowhere else.
        ended_us: when watching ended.
        replicas: over time.
        waits: of users.
        events: what the manager decided of containers after the users had moved, and what came of it.
    """

    run_id: str
    began_us: int
    moved_us: int
    first_us: int
    followed_us: int
    ended_us: int
    replicas: tuple[Replicas, ...]
    waits: Waits
    events: tuple[ControlEvent, ...]

    @property
    def before_ms(self) -> float:
        """Median that users waited with services beside them."""
        return self.waits.median_ms(self.began_us, self.moved_us)

    @property
    def away_ms(self) -> float:
        """Median after the users had moved, and before the first service had."""
        return self.waits.median_ms(self.moved_us, self.first_us)

    @property
    def after_ms(self) -> float:
        """Median once all services had followed."""
        return self.waits.median_ms(self.followed_us, self.ended_us)


@dataclass(slots=True)
class FollowTheSun:
    """Plays the scenario on a system that was started with users in Europe.

    Attributes:
        system: with nothing on it yet.
        progress: shows every stage.
        steady_s: how long users are watched before they move, and after the services have followed.
    """

    system: RegionalSystem
    progress: Progress
    steady_s: float = _STEADY_S
    _replicas: list[Replicas] = field(default_factory=list)

    def run(self) -> SunResult:
        """Raises `Unavailable`: the services did not get where they should be in time."""
        self._add_hosts()
        self._launch()
        self._set_rule()
        began_us = now_us()
        self._watch("users and services in Europe")
        moved_us = retry(lambda: self._move_users(TOKYO), timeout_s=_MOVE_S)
        first_us, followed_us = self._follow(TOKYO)
        self._watch("users and services in Asia")
        ended_us = now_us()
        with self.progress.stage("the last telemetry"):
            time.sleep(_FLUSH_S)
            waits = waits_of(self.system.broker, self.system.options.topic_prefix, self.system.run_id)
        return SunResult(
            run_id=self.system.run_id,
            began_us=began_us,
            moved_us=moved_us,
            first_us=first_us,
            followed_us=followed_us,
            ended_us=ended_us,
            replicas=tuple(self._replicas),
            waits=waits,
            events=self._events(moved_us),
        )

    def _add_hosts(self) -> None:
        with self.progress.stage("hosts") as stage:
            self._placing(_HOSTS_S, stage).join_hosts(HOSTS)
            stage.show(", ".join(f"{host.name} in {host.region_name}" for host in HOSTS))

    def _launch(self) -> None:
        # Shorter than usual, so that all of it fits into minutes.
        self.system.client.manager.update(
            "settings/manager", migration_delay_us=3_000_000, demand_window_us=10_000_000
        )
        with self.progress.stage("services in Europe") as stage:
            self._placing(_LAUNCH_S, stage).run_app(str(TOPOLOGY), near=BERLIN.coordinates)
            self._until(lambda: self._are_at(BERLIN), _LAUNCH_S, "the services do not run in Europe", stage)
            stage.show("all on berlin")

    def _placing(self, timeout_s: float, stage: Stage) -> AppPlacing:
        return AppPlacing(self.system.client, self.system.driver, timeout_s, report=stage.show)

    def _set_rule(self) -> None:
        """Any container that is in use moves where demand for it is, if a host there is nearer."""
        manager = self.system.client.manager
        manager.create("condition/in-use", field="cpu-%", operator=">=", value=0.0)
        manager.create(
            f"rule/{RULE}", scope="service", generic=True, decision="migrate", conditions=["in-use"]
        )

    def _move_users(self, host: HostOptions) -> int:
        """Has all users be at a place; since when at the latest."""
        self.system.target.move_users({host.coordinates: 1.0})
        return now_us()

    def _follow(self, host: HostOptions) -> tuple[int, int]:
        """When the first service ran at a host, and when all did and nowhere else."""
        first_us = 0
        with self.progress.stage("services follow the users to Asia") as stage:

            def followed() -> bool:
                nonlocal first_us
                seen = self._look()
                if not first_us and seen.by_region[host.region_name]:
                    first_us = seen.at_us
                stage.show(", ".join(f"{count} in {region}" for region, count in seen.by_region.items()))
                return self._are_at(host)

            self._until(followed, _FOLLOW_S, "the services do not follow the users", stage)
        return first_us, now_us()

    def _events(self, since_us: int) -> tuple[ControlEvent, ...]:
        events = self.system.client.manager.events()
        return tuple(each for each in events if each.container and each.at_us >= since_us)

    def _watch(self, title: str) -> None:
        with self.progress.stage(title) as stage:
            began_s = time.monotonic()
            while (gone_s := time.monotonic() - began_s) < self.steady_s:
                stage.advance(gone_s, self.steady_s)
                self._look()
                time.sleep(_LOOK_S)

    def _are_at(self, host: HostOptions) -> bool:
        by_service = self._look().by_service
        services = {service for service, _ in by_service}
        return len(services) == _SERVICES and all(region == host.region_name for _, region in by_service)

    def _look(self) -> Replicas:
        """Where containers serve now."""
        regions = {host.name: host.region_name for host in HOSTS}
        by_service = Counter(
            (str(each.values["service"]), regions[str(each.values["host"])])
            for each in self.system.client.manager.list("container")
            if each.values["state"] in ("running", "stopping")
        )
        by_region: Counter[str] = Counter()
        for (_, region), count in by_service.items():
            by_region[region] += count
        self._replicas.append(Replicas(at_us=now_us(), by_region=by_region, by_service=by_service))
        return self._replicas[-1]

    def _until(self, check: Callable[[], bool], timeout_s: float, trouble: str, stage: Stage) -> None:
        began_s = time.monotonic()
        while not check():
            gone_s = time.monotonic() - began_s
            if gone_s > timeout_s:
                msg = f"{trouble} after {timeout_s:g} s; {self.system.options.folders.logs} may tell why"
                raise Unavailable(msg)
            stage.advance(gone_s, timeout_s)
            time.sleep(_LOOK_S)


_SERVICES = 3
"""Of the topology."""


def waits_of(broker: Broker, topic_prefix: str, run_id: str) -> Waits:
    """How long the users of a run waited, by the spans of the load generator."""
    found: list[Sequence[Int64]] = []
    for message in read_topic(broker, topic_prefix + TELEMETRY_TRACES):
        if message.value is None:
            # How far a source has come, in the headers.
            continue
        batch = decode_as(SpanBatch, message.value)
        if batch.run_id == run_id and batch.source_kind == _USERS:
            columns = span_columns(batch)
            found.append((columns.start_us, columns.duration_us, columns.error.astype(np.int64)))
    columns_of = [np.concatenate([np.zeros(0, np.int64), *each]) for each in zip(*found, strict=True)]
    start_us, duration_us, failed = columns_of or [np.zeros(0, np.int64)] * 3
    order = np.argsort(start_us, kind="stable")
    return Waits(start_us=start_us[order], duration_us=duration_us[order], failed=failed[order])
