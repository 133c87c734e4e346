"""Where a host begins on the log, and what it follows from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from microservo.adapters.broker import Broker, Consumer, Partition
from microservo.errors import InvalidInput
from microservo.log.ranges import Ranges
from microservo.log.reader import read_state
from schemas.catalogue import EXPERIMENTS, FEATURE_WINDOWS
from schemas.records import Experiment
from services.algorithm_host.settings import AlgorithmHostSettings


def read_run(settings: AlgorithmHostSettings, broker: Broker) -> Experiment:
    """The run's record.

    Raises:
        InvalidInput: there is no such run.
        Retryable: the broker is away for now.
    """
    run = read_state(broker, settings.topic(EXPERIMENTS), Experiment).get(settings.run_id)
    if run is None:
        msg = f"there is no run {settings.run_id!r} on {settings.topic(EXPERIMENTS)}"
        raise InvalidInput(msg)
    return run


def past_of(
    settings: AlgorithmHostSettings,
    broker: Broker,
    run: Experiment,
    next_offsets: Mapping[int, int],
    *,
    published: Mapping[int, int],
    clock: Callable[[], int],
) -> Ranges:
    """What is on the log for a host by now: from where it stopped, else from where it begins.

    It begins with the run, but no more windows back than it should, unless some of them were not published.

    Args:
        settings: of the host.
        broker: where the windows are.
        run: whose windows they are.
        next_offsets: by partition, the first window that was not learned from.
        published: by partition, the first one of which nothing was published.
        clock: epoch microseconds UTC.
    """
    topic = settings.topic(FEATURE_WINDOWS)
    since_us = clock() - settings.history_windows * run.window_us
    with broker.consumer(group_id=None) as consumer:
        found = {}
        for partition in consumer.partitions(topic):
            first, end = consumer.offset_range(partition)
            begin = next_offsets.get(partition.index)
            if begin is None:
                since = consumer.offset_at(partition, since_us)
                begin = max(
                    run.start_offsets.get(f"{FEATURE_WINDOWS}/{partition.index}", first),
                    min(since, published.get(partition.index, since)),
                )
            found[partition] = max(first, begin), end
    return found


def follow(broker: Broker, positions: Mapping[Partition, int]) -> Consumer:
    """A consumer that goes on from there.

    Raises:
        InvalidInput: a topic is missing.
    """
    consumer = broker.consumer(group_id=None)
    try:
        consumer.assign(positions)
    except BaseException:
        consumer.close()
        raise
    return consumer
