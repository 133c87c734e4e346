"""Topics of the in-memory broker."""

from __future__ import annotations

from collections.abc import Sequence

from microservo.adapters.broker import Partition, TopicSpec, TopicState
from microservo.adapters.limits import refuse_other_partitions
from microservo.adapters.memory.store import Store


class MemoryAdmin:
    """`Admin` in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        with self._store.changed:
            refuse_other_partitions(
                specs, {name: topic.spec.partitions for name, topic in self._store.topics.items()}
            )
            missing = [spec for spec in specs if spec.name not in self._store.topics]
            for spec in missing:
                self._store.create(spec)
            return [spec.name for spec in missing]

    def cluster_id(self) -> str:
        return self._store.cluster_id

    def topics(self) -> list[TopicState]:
        with self._store.changed:
            specs = sorted((topic.spec for topic in self._store.topics.values()), key=lambda spec: spec.name)
        return [TopicState(name=s.name, partitions=s.partitions, config=dict(s.config)) for s in specs]

    def begin_group(self, group_id: str, topics: Sequence[str]) -> None:
        with self._store.changed:
            group = self._store.group(group_id)
            partitions = [
                Partition(name, index)
                for name in topics
                for index in range(self._store.topic(name).spec.partitions)
            ]
            if not group.members:
                group.committed = dict.fromkeys(partitions, 0) | group.committed

    def wait_ready(self, timeout_s: float) -> None:
        """Returns at once."""
