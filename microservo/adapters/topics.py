"""The topics of the contract as a broker shall have them."""

from __future__ import annotations

from microservo.adapters.broker import TopicSpec
from schemas.catalogue import DEAD_LETTER_SUFFIX, Topic, catalogue

DEFAULT_PARTITIONS = 4


def topic_specs(
    *, prefix: str = "", partitions: int = DEFAULT_PARTITIONS, replication: int = 1
) -> list[TopicSpec]:
    """Every topic with its dead-letter topic, in the order of the contract.

    Args:
        prefix: put before every name.
        partitions: of the facts and commands, the same for all so that joined topics are co-partitioned;
            states and dead letters have one.
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
        partitions=1 if topic.kind == "state" else partitions,
        replication=replication,
        config=topic.config,
    )
    if not topic.dead_letters:
        return [main]
    config = {**topic.config, "cleanup.policy": "delete", "retention.ms": "-1"}
    aside = TopicSpec(
        name=main.name + DEAD_LETTER_SUFFIX, partitions=1, replication=replication, config=config
    )
    return [main, aside]
