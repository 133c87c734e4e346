"""The process: a consumer group on `feature-windows`, a scorer, a producer, and a pulse."""

from __future__ import annotations

from collections.abc import Callable

from microservo.adapters.broker import Broker, Producer
from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.domain.detectors import DetectorBank, make_detector
from microservo.log.dead_letters import DeadLetters
from microservo.log.publisher import Publisher
from microservo.runtime.health import HealthServer
from microservo.runtime.loop import consume_loop
from microservo.runtime.pulse import Pulse
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import FEATURE_WINDOWS
from services.detector.handlers import Scorer
from services.detector.history import History
from services.detector.settings import DetectorSettings

POLL_TIMEOUT_S = 0.02
"""A batch waits this long for company: a part of every score's latency."""
LINGER_MS = 1


def run(
    settings: DetectorSettings,
    shutdown: Shutdown,
    *,
    broker: Broker | None = None,
    clock: Callable[[], int] = now_us,
) -> None:
    """Scores windows until shutdown.

    Raises:
        InvalidInput: there is no such algorithm.
        Unavailable: no broker answers.
        Fatal: what a restart may mend.
    """
    make_detector(settings.algorithm)  # a misspelt name is refused before anything is joined
    broker = broker or KafkaBroker(settings.kafka)
    pulse = Pulse()
    with (
        HealthServer(settings.health_port, pulse.is_alive),
        broker.producer(linger_ms=LINGER_MS) as producer,
    ):
        scorer = build_scorer(settings, broker, producer, clock)
        consumer = broker.consumer(group_id=settings.group_id)
        consumer.subscribe(
            [settings.topic(FEATURE_WINDOWS)], on_assign=scorer.release, on_revoke=scorer.release
        )
        consume_loop(consumer, scorer.handle, shutdown=shutdown, timeout_s=POLL_TIMEOUT_S, on_idle=pulse.beat)


def build_scorer(
    settings: DetectorSettings, broker: Broker, producer: Producer, clock: Callable[[], int]
) -> Scorer:
    """The scorer with everything that it needs."""
    return Scorer(
        bank=DetectorBank(
            lambda service: make_detector(settings.algorithm, seed=settings.algorithm_seed, service=service)
        ),
        past=History(broker, run_id=settings.run_id).before,
        publisher=Publisher(producer, "detector", prefix=settings.topic_prefix, clock=clock),
        dead_letters=DeadLetters(producer, settings.topic_prefix),
        algorithm=settings.algorithm,
        run_id=settings.run_id,
        clock=clock,
    )
