"""The topics of the contract as a broker shall have them."""

from __future__ import annotations

from dataclasses import dataclass

from microservo.adapters.broker import Broker, TopicSpec, TopicState
from schemas.catalogue import DEAD_LETTER_SUFFIX, Topic, catalogue

DEFAULT_PARTITIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicStatus:
    """A topic of the contract and what the broker has of it; `state` is None where it is missing.

    `messages` counts what lies between the first and the last offset, heartbeats included.
    """

    topic: Topic
    name: str
    state: TopicState | None
    messages: int = 0


def topic_specs(
    *, prefix: str = "", partitions: int = DEFAULT_PARTITIONS, replication: int = 1
) -> list[TopicSpec]:
    """Every topic with its dead-letter topic, in the order of the contract.

    Args:
        prefix: put before every name.
        partitions: of the topics whose number the contract leaves open, the same for all so that joined
            topics are co-partitioned; dead letters have one.
        replication: copies that the broker keeps.
    """
    return [
        spec
        for topic in catalogue().values()
        for spec in _with_dead_letters(topic, prefix, partitions, replication)
    ]


def _with_dead_letters(topic: Topic, prefix: str, partitions: int, replication: int) -> list[TopicSpec]:
    main = TopicSpec(
        name=topic.physical(prefix),
        partitions=topic.partitions or partitions,
        replication=replication,
        config=topic.config,
    )
    if not topic.dead_letters:
        return [main]
    aside = TopicSpec(
        name=main.name + DEAD_LETTER_SUFFIX,
        partitions=1,
        replication=replication,
        config=topic.dead_letter_config,
    )
    return [main, aside]


def topic_statuses(broker: Broker, prefix: str = "") -> list[TopicStatus]:
    """Every topic of the contract, in its order, as the broker has it."""
    present = {state.name: state for state in broker.admin().topics()}
    with broker.consumer(group_id=None) as consumer:

        def status(topic: Topic) -> TopicStatus:
            name = topic.physical(prefix)
            if name not in present:
                return TopicStatus(topic=topic, name=name, state=None)
            ranges = [consumer.offset_range(partition) for partition in consumer.partitions(name)]
            messages = sum(end - first for first, end in ranges)
            return TopicStatus(topic=topic, name=name, state=present[name], messages=messages)

        return [status(topic) for topic in catalogue().values()]
