"""Topics of a real Kafka."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigEntry, ConfigResource, ConfigSource
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.admin._metadata import ClusterMetadata
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from microservo.adapters.broker import TopicSpec, TopicState
from microservo.adapters.kafka.connection import made, verify
from microservo.adapters.kafka.errors import translate, translated
from microservo.adapters.kafka.options import KafkaAccess, common_options, consumer_options
from microservo.adapters.limits import refuse_other_partitions
from microservo.errors import InvalidInput, Retryable, Unavailable
from microservo.retry import retry

_POLL_S = 0.05
_VISIBLE_S = 60.0
"""A new broker on a busy machine has made dozens of topics long before it leads all of them."""


class KafkaAdmin:
    """`Admin` on confluent-kafka; made without a connection, so that it can wait for a broker."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._client = made(AdminClient, common_options(access))

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        present = {name: len(topic.partitions) for name, topic in self._metadata().topics.items()}
        refuse_other_partitions(specs, present)
        missing = [spec for spec in specs if spec.name not in present]
        created = self._create(missing) if missing else []
        self._wait_visible(specs, created)
        return created

    def cluster_id(self) -> str:
        return str(self._metadata().cluster_id)

    def topics(self) -> list[TopicState]:
        partitions = {
            name: len(topic.partitions)
            for name, topic in self._metadata().topics.items()
            if not name.startswith("__")
        }
        configs = {name: _own(self._entries(name)) for name in partitions}
        return [
            TopicState(name=name, partitions=partitions[name], config=configs[name])
            for name in sorted(partitions)
        ]

    def begin_group(self, group_id: str, topics: Sequence[str]) -> None:
        # The first group of a new broker has no coordinator for a moment.
        retry(lambda: self._begin_group(group_id, topics), timeout_s=self._access.connect_timeout_s)

    def _begin_group(self, group_id: str, topics: Sequence[str]) -> None:
        with translated(f"begin the group {group_id}"):
            new = self._without_commit(group_id, self._partitions(topics))
            firsts = self._firsts(new)
        if not firsts:
            return
        request = ConsumerGroupTopicPartitions(group_id, firsts)
        [future] = self._client.alter_consumer_group_offsets(
            [request], request_timeout=self._access.connect_timeout_s
        ).values()
        try:
            errors = [each.error for each in future.result().topic_partitions if each.error is not None]
        except KafkaException as exc:
            errors = [exc.args[0]]
        for error in errors:
            # Somebody joined meanwhile, or was there all along.
            if error.code() != KafkaError.UNKNOWN_MEMBER_ID:
                raise translate(error, f"begin the group {group_id}")

    def wait_ready(self, timeout_s: float) -> None:
        look_s = max(_POLL_S, min(1.0, timeout_s))
        retry(
            lambda: verify(self._client, self._access, look_s, whole_timeout_s=timeout_s),
            timeout_s=timeout_s,
            passing=Unavailable,
            longest_pause_s=_POLL_S,
        )

    def wait_led(self, cluster_id: str, timeout_s: float) -> bool:
        """Whether the cluster has this id, and within `timeout_s` a leader for every partition."""

        def look() -> None:
            metadata = self._metadata()
            if not _led(metadata) or metadata.cluster_id != cluster_id:
                msg = f"cluster {metadata.cluster_id} is there, expected {cluster_id} with all partitions led"
                raise Retryable(msg)

        try:
            retry(look, timeout_s=timeout_s, longest_pause_s=_POLL_S)
        except Retryable:
            return False
        return True

    def max_message_bytes(self, topic: str) -> int:
        """The largest batch of messages that a topic accepts, in bytes.

        Raises:
            InvalidInput: there is no such topic.
        """
        value = self._entries(topic)["max.message.bytes"].value
        return int(value or 0)

    def _partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        metadata = self._metadata()
        for name in topics:
            if name not in metadata.topics:
                msg = f"there is no topic {name!r}; `microservo topics ensure` makes ours"
                raise InvalidInput(msg)
        return [TopicPartition(name, index) for name in topics for index in metadata.topics[name].partitions]

    def _without_commit(self, group_id: str, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        # Asked by a consumer, which never joins: while a new broker has no coordinator for the group yet, the
        # admin's own question ends the process (librdkafka 5040).
        options = consumer_options(self._access, group_id=group_id, start="earliest")
        client = made(Consumer, options)
        try:
            found = client.committed(list(partitions), timeout=self._access.connect_timeout_s)
        finally:
            client.close()
        for each in found:
            if each.error is not None:
                raise KafkaException(each.error)
        return [each for each in found if each.offset < 0]

    def _firsts(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Where the logs of these partitions begin."""
        if not partitions:
            return []
        earliest: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # of the library
        asked = self._client.list_offsets(
            {TopicPartition(each.topic, each.partition): earliest for each in partitions},
            request_timeout=self._access.connect_timeout_s,
        )
        return [
            TopicPartition(each.topic, each.partition, future.result().offset)
            for each, future in asked.items()
        ]

    def _metadata(self) -> ClusterMetadata:
        return verify(self._client, self._access)

    def _create(self, specs: Sequence[TopicSpec]) -> list[str]:
        futures = self._client.create_topics(
            [NewTopic(s.name, s.partitions, s.replication, config=dict(s.config)) for s in specs],
            operation_timeout=self._access.connect_timeout_s,
        )
        created = []
        for name, future in futures.items():
            try:
                future.result()
            except KafkaException as exc:
                # Another process was quicker; what it made is looked at below.
                if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise translate(exc.args[0], f"create the topic {name}") from exc
            else:
                created.append(name)
        return created

    def _wait_visible(self, specs: Sequence[TopicSpec], created: Collection[str]) -> None:
        """Waits until the topics are there and led: creation returns before every client can see it.

        A broker names itself the leader of what it has just made before it acts as one.
        """
        wanted = {spec.name for spec in specs}
        new = [TopicPartition(s.name, i) for s in specs if s.name in created for i in range(s.partitions)]

        def look() -> None:
            missing = wanted - self._led_topics()
            if missing or not self._answered(new):
                names = ", ".join(sorted(missing or created))
                msg = f"created topics are not visible after {_VISIBLE_S:g} s: {names}"
                raise Retryable(msg)

        retry(look, timeout_s=_VISIBLE_S, longest_pause_s=_POLL_S)
        present = {name: len(topic.partitions) for name, topic in self._metadata().topics.items()}
        refuse_other_partitions(specs, present)

    def _led_topics(self) -> set[str]:
        metadata = self._metadata()
        return {name for name in metadata.topics if _led(metadata, [name])}

    def _answered(self, partitions: Sequence[TopicPartition]) -> bool:
        """Whether the leaders of all these partitions do their work."""
        if not partitions:
            return True
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # of the library
        asked = self._client.list_offsets(
            dict.fromkeys(partitions, latest), request_timeout=self._access.connect_timeout_s
        )
        return all(future.exception() is None for future in asked.values())

    def _entries(self, topic: str) -> dict[str, ConfigEntry]:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        with translated(f"describe the topic {topic}"):
            answer = self._client.describe_configs([resource], request_timeout=self._access.connect_timeout_s)
            return dict(answer[resource].result())


def _led(metadata: ClusterMetadata, names: Iterable[str] | None = None) -> bool:
    topics = metadata.topics if names is None else {name: metadata.topics[name] for name in names}
    return bool(metadata.brokers) and all(
        partition.leader >= 0 for topic in topics.values() for partition in topic.partitions.values()
    )


def _own(entries: dict[str, ConfigEntry]) -> dict[str, str]:
    """What was set on the topic itself."""
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG
    # The entries carry the source as a bare number, whatever their annotation says.
    return {e.name: str(e.value) for e in entries.values() if ConfigSource(e.source) == own}
