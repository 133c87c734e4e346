"""A made-up run on a broker: telemetry, faults, scores, and the experiment that names its offsets."""

from __future__ import annotations

from dataclasses import replace

from synthetic import Story, faults, messages, windowers, writers

from microservo.adapters.broker import Broker, TopicSpec
from microservo.domain.closed_window import ClosedWindow
from microservo.domain.join import process_message
from microservo.domain.joined_topics import SOURCES
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import Retryable
from microservo.testing import eventually
from schemas import catalogue
from schemas.codec import encode
from schemas.records import AnomalyScore, Experiment, FaultEvent, ServiceGraph

_TOPICS = (
    *SOURCES,
    catalogue.FAULT_EVENTS,
    catalogue.SERVICE_GRAPH,
    catalogue.SERVICE_INSTANCES,
    catalogue.ANOMALY_SCORES,
    catalogue.LABELLED_WINDOWS,
    catalogue.EXPERIMENTS,
)


def create_topics(broker: Broker, *, prefix: str = "", partitions: int = 3) -> None:
    """The topics that a run needs."""
    specs = [
        TopicSpec(name=prefix + name, partitions=partitions, config=dict(catalogue.catalogue()[name].config))
        for name in _TOPICS
    ]
    broker.admin().ensure_topics(specs)
    # A real broker says that a topic is there before each partition has a leader.
    eventually(lambda: _has_leaders(broker, prefix), what="leaders of all partitions")


def record_run(broker: Broker, story: Story, *, prefix: str = "", partitions: int = 3) -> Experiment:
    """Puts a whole run on the broker, with the windows that a live processor makes of it."""
    create_topics(broker, prefix=prefix, partitions=partitions)
    starts = end_offsets(broker, prefix)
    joins = windowers(story, partitions)
    with broker.producer() as producer:
        for sent in messages(story, partitions=partitions):
            producer.send(
                prefix + sent.topic,
                key=sent.key,
                value=sent.value,
                headers=sent.headers,
                partition=sent.partition,
            )
            windower = joins[sent.partition]
            process_message(windower, sent.topic, sent.value, sent.headers)
            for closed in windower.close():
                for topic, record in _outcome(
                    closed
                ):  # like the live processor, in the partition it came from
                    producer.send(
                        prefix + topic,
                        key=closed.service.encode(),
                        value=encode(record),
                        partition=sent.partition,
                    )
        producer.flush(60)
    return finish_run(broker, story, starts, prefix=prefix)


def begin_run(broker: Broker, story: Story, *, prefix: str = "") -> None:
    """Says who writes in the run, before anybody does."""
    run = replace(experiment(story, {}, {}), status="running", finished_at_us=None)
    with broker.producer() as producer:
        producer.send(prefix + catalogue.EXPERIMENTS, key=story.run_id.encode(), value=encode(run))
        producer.flush(60)


def finish_run(broker: Broker, story: Story, starts: dict[str, int], *, prefix: str = "") -> Experiment:
    """Adds the stories of the faults and the graph, and says that the run is over, here and now."""
    with broker.producer() as producer:
        for event in fault_events(story):
            producer.send(prefix + catalogue.FAULT_EVENTS, key=event.fault_id.encode(), value=encode(event))
        graph = _graph(story)
        producer.send(prefix + catalogue.SERVICE_GRAPH, key=story.run_id.encode(), value=encode(graph))
        producer.flush(60)
        run = experiment(story, starts, end_offsets(broker, prefix))
        producer.send(prefix + catalogue.EXPERIMENTS, key=story.run_id.encode(), value=encode(run))
        producer.flush(60)
    return run


def experiment(story: Story, starts: dict[str, int], ends: dict[str, int]) -> Experiment:
    """A finished run between two offsets of each partition."""
    policy = WindowPolicy()
    return Experiment(
        run_id=story.run_id,
        status="finished",
        seed=story.seed,
        target="made-up",
        started_at_us=story.start_us,
        finished_at_us=story.start_us + (story.seconds + story.drain_s) * 1_000_000,
        window_us=policy.size_us,
        first_cut_us=policy.first_cut_us,
        final_cut_us=policy.final_cut_us,
        start_offsets=starts,
        end_offsets=ends,
        writers=writers(story),
        versions={"microservo": "test"},
    )


def fault_events(story: Story) -> list[FaultEvent]:
    """The stories of the run's faults on one instance each, and of one request that was refused."""
    events = [
        _event_of(story, sent_us, fault) for sent_us, fault in faults(story) if fault.role == "root_cause"
    ]
    refused = FaultEvent(
        run_id=story.run_id,
        fault_id="refused",
        version=1,
        kind="network-delay",
        service="nobody",
        instance="",
        state="rejected",
        at_us=story.start_us,
        requested_at_us=story.start_us,
        duration_us=5_000_000,
        parameters={},
        reason="no service 'nobody' <script>alert(1)</script>",
    )
    return [refused, *events]


def _event_of(story: Story, sent_us: int, fault: object) -> FaultEvent:
    times = {
        name: getattr(fault, name)
        for name in ("apply_commanded_at_us", "applied_at_us", "recovery_commanded_at_us", "recovered_at_us")
    }
    recovered = times["recovered_at_us"] is not None
    recovering = times["recovery_commanded_at_us"] is not None
    service, version = getattr(fault, "service"), getattr(fault, "version")  # noqa: B009
    return FaultEvent(
        run_id=story.run_id,
        fault_id=getattr(fault, "fault_id"),  # noqa: B009
        version=version,
        kind="network-delay",
        service=service,
        instance=f"{service}-0",
        state="recovered" if recovered else "recovering" if recovering else "active",
        at_us=sent_us,
        requested_at_us=getattr(fault, "requested_at_us"),  # noqa: B009
        duration_us=5_000_000,
        parameters={"latency_us": "300000", "jitter_us": "0"},
        verdict="confirmed" if recovered else "pending",
        apply_evidence=f"version {version}",
        **times,
    )


def _outcome(closed: ClosedWindow) -> list[tuple[str, object]]:
    labelled = closed.labelled_window()
    score = AnomalyScore(
        run_id=closed.run_id,
        service=closed.service,
        start_us=closed.start_us,
        end_us=closed.end_us,
        revision=0,
        algorithm="n-sigma",
        score=float(sum(label.overlap for label in closed.truth.labels)),
        scored_at_us=closed.end_us + 2_100_000,
        latency_us=1_000,
    )
    scored: list[tuple[str, object]] = [(catalogue.ANOMALY_SCORES, score)] if closed.revision == 0 else []
    return [(catalogue.LABELLED_WINDOWS, labelled), *scored]


def _graph(story: Story) -> ServiceGraph:
    callers = story.services[1:]
    return ServiceGraph(
        run_id=story.run_id,
        start_us=story.start_us,
        end_us=story.start_us + 5_000_000,
        callers=callers,
        callees=(story.services[0],) * len(callers),
        calls=tuple(range(len(callers))),
        errors=(0,) * len(callers),
    )


def _has_leaders(broker: Broker, prefix: str) -> bool:
    try:
        return bool(end_offsets(broker, prefix))
    except Retryable:
        return False


def end_offsets(broker: Broker, prefix: str) -> dict[str, int]:
    """The next offset of every partition that a run needs, by `topic/partition`."""
    with broker.consumer(group_id=None) as consumer:
        return {
            f"{name}/{partition.index}": consumer.offset_range(partition)[1]
            for name in _TOPICS
            for partition in consumer.partitions(prefix + name)
        }
