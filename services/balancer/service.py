"""Builds a load balancer and runs it until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from microservo.adapters.broker import Broker
from microservo.adapters.clock import now_us
from microservo.adapters.geoip import GeoDatabase
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.nginx import PLACE_MODULES, PROXY_MODULES, find_nginx
from microservo.domain.balancing.configuration import LOCATIONS_LOG, Entry, configuration
from microservo.domain.registry.locations import LocationCounts
from microservo.errors import InvalidInput, MicroServoError, Retryable
from microservo.log.resending import ResendingPublisher
from microservo.runtime.api import api_app
from microservo.runtime.health import HealthServer
from microservo.runtime.http import HttpServer
from microservo.runtime.log_limit import LogLimit
from microservo.runtime.metrics import RECORDS_TOTAL, RETRIES_TOTAL
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import REQUEST_LOCATIONS
from services.balancer.balancer import Balancer
from services.balancer.loading import Loading
from services.balancer.locations import LocationsLog
from services.balancer.nginx_process import NginxProcess, most_connections, prepared_folder, worker_user
from services.balancer.operations import API
from services.balancer.places import places_app
from services.balancer.probing import Probing
from services.balancer.settings import BalancerSettings

logger = logging.getLogger(__name__)

_ROUND_S = 0.2
_INTERVAL_S = 1.0
_CONNECTED_WITHIN_S = 2.0
_GIVE_UP_S = 5.0
"""After so long a producer gives a message up, and gets a successor; it must not hold up the end either."""


def run(
    settings: BalancerSettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Balances until shutdown.

    Raises:
        Unavailable: there is no nginx that can be used, or a port is taken.
        InvalidInput: its folder is another balancer's, or can't be used.
    """
    program = find_nginx(_modules(settings))
    folder = settings.folder
    pulse = Pulse()
    give_up = {
        "connect_timeout_s": min(_CONNECTED_WITHIN_S, settings.kafka.connect_timeout_s),
        "delivery_timeout_s": min(_GIVE_UP_S, settings.kafka.delivery_timeout_s),
    }
    writing = broker or KafkaBroker(settings.kafka.model_copy(update=give_up))
    with ExitStack() as stack:
        stack.enter_context(_claimed(folder))
        prepared_folder(folder)
        balancer = Balancer(folder / "state.json", own_address=settings.listen, version=program.version)
        entry = _entry(settings, stack)
        publisher = ResendingPublisher(
            writing, process="balancer", topic_prefix=settings.topic_prefix, clock=clock
        )
        stack.enter_context(closing(publisher))
        nginx = NginxProcess(program, folder, address=settings.balancer_host, port=settings.balancer_port)
        log = LocationsLog(folder / LOCATIONS_LOG, default=settings.place, reopen=nginx.reopen_log)
        stack.enter_context(closing(log))
        demand = _Demand(log, publisher, LocationCounts(settings.balancer_name, clock()), clock)
        stack.callback(demand.say_the_rest)
        stack.enter_context(nginx)
        wanted = balancer.wanted()
        nginx.start(configuration(entry, wanted.services, wanted.generation), wanted.generation)
        balancer.tell_served(wanted.generation)
        stack.enter_context(Loading(balancer, nginx, entry))
        stack.enter_context(Probing(balancer, monotonic_s=time.monotonic))
        token = settings.control_token.get_secret_value()
        app = api_app(API, balancer, token=token, checks_host=settings.is_local)
        api = HttpServer(app, port=settings.balancer_api_port, hosts=(settings.balancer_api_host,))
        stack.enter_context(api)
        stack.enter_context(
            HealthServer(settings.health_port, lambda: pulse.is_alive() and nginx.generation() is not None)
        )
        logger.info(
            "balancer %s serves %s, its API is on port %d", settings.balancer_name, settings.listen, api.port
        )
        while not shutdown.wait(_ROUND_S):
            pulse.beat()
            demand.advance()


class _Demand:
    """From where users asked, on its way to the log; while the broker is away it waits."""

    def __init__(
        self,
        log: LocationsLog,
        publisher: ResendingPublisher,
        counts: LocationCounts,
        clock: Callable[[], int],
    ) -> None:
        self._log = log
        self._publisher = publisher
        self._counts = counts
        self._clock = clock
        self._limit = LogLimit()
        self._closed_at_s = time.monotonic()
        self._rows = 0

    def advance(self) -> None:
        """Counts what is new, and writes once a second what was counted."""
        self._counts.add(self._log.read(), self._clock())
        if time.monotonic() - self._closed_at_s < _INTERVAL_S:
            return
        self._counts.close_interval(self._clock())
        self._closed_at_s = time.monotonic()
        try:
            self._write()
        except Retryable as error:
            RETRIES_TOTAL.labels("housekeeping").inc()
            if (rest := self._limit.end_of_line(REQUEST_LOCATIONS, "away")) is not None:
                logger.warning("%s%s", error, rest)

    def say_the_rest(self) -> None:
        """Writes what was counted to the end."""
        while places := self._log.read():
            self._counts.add(places, self._clock())
        self._counts.close_interval(self._clock())
        try:
            self._write()
        except MicroServoError as error:
            logger.warning("from where the last users asked is lost: %s", error)

    def _write(self) -> None:
        self._finish()
        records = self._counts.take_unwritten()
        self._rows = sum(len(each.counts) for each in records)
        self._publisher.begin(records)
        self._finish()
        if lost := self._counts.take_lost():
            logger.warning("%d places of requests were given up, since too many waited", lost)
            RECORDS_TOTAL.labels("balancer", REQUEST_LOCATIONS, "dropped").inc(lost)

    def _finish(self) -> None:
        self._publisher.finish()
        if self._rows:
            RECORDS_TOTAL.labels("balancer", REQUEST_LOCATIONS, "out").inc(self._rows)
        self._rows = 0


def _modules(settings: BalancerSettings) -> frozenset[str]:
    return (PLACE_MODULES if settings.balancer_geoip else frozenset()) | (
        PROXY_MODULES if settings.trusted_proxies else frozenset()
    )


def _entry(settings: BalancerSettings, stack: ExitStack) -> Entry:
    place_port = None
    if settings.balancer_geoip is not None:
        database = stack.enter_context(closing(GeoDatabase(settings.balancer_geoip)))
        place_port = stack.enter_context(HttpServer(places_app(database), port=0)).port
    return Entry(
        listen=settings.listen,
        workers=settings.balancer_workers,
        connections=most_connections(),
        user=worker_user(),
        place_port=place_port,
        trusted_proxies=settings.trusted_proxies,
    )


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Keeps other balancers out of the folder: each would end the other's nginx."""
    lock = FileLock(folder / "lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        msg = f"another balancer works in {folder}; give this one a name or a folder of its own"
        raise InvalidInput(msg) from error
    except OSError as error:
        msg = f"{folder} can't be written ({error.strerror}); set MICROSERVO_BALANCER_FOLDER to one that can"
        raise InvalidInput(msg) from error
    try:
        yield
    finally:
        lock.release()
