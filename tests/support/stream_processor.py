"""The stream processor as processes on topics of its own, and what the pure join says of its messages."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from recorded_run import begin_run
from synthetic import Sent, Story, messages, windowers

from microservo.adapters.broker import Message
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.processes import python_argv
from microservo.domain.join import process_message
from microservo.log.reader import read_topic
from microservo.log.topics import topic_specs
from microservo.supervision.supervisor import ProcessSpec, Supervisor
from schemas import catalogue
from schemas.codec import decode, encode
from schemas.envelope import HEARTBEAT_KEY

WINDOW_TOPICS = (catalogue.LABELLED_WINDOWS, catalogue.FEATURE_WINDOWS)

Key = tuple[str, bytes, bytes]


def expected(story: Story, partitions: int) -> dict[Key, bytes]:
    """What the pure join says of a story, by topic, service and window/revision."""
    joins = windowers(story, partitions)
    found: dict[Key, bytes] = {}
    for message in messages(story, partitions=partitions):
        windower = joins[message.partition]
        process_message(windower, message.topic, message.value, message.headers)
        for closed in windower.close():
            at = (closed.service.encode(), b"%d/%d" % (closed.start_us, closed.revision))
            found[catalogue.LABELLED_WINDOWS, *at] = encode(closed.labelled_window())
            if closed.features_changed:
                found[catalogue.FEATURE_WINDOWS, *at] = encode(closed.feature_window())
    return found


class Pipeline:
    """Topics under a prefix, and a stream processor on them; its log and files go into a folder."""

    def __init__(
        self,
        broker: KafkaBroker,
        prefix: str,
        folder: Path,
        *,
        partitions: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.broker, self.prefix = broker, prefix
        self._folder = folder
        self._lock = threading.Lock()
        self._last: dict[tuple[str, int], Sent] = {}
        self._env = {
            "MICROSERVO_BOOTSTRAP_SERVERS": broker.settings.bootstrap_servers,
            "MICROSERVO_TOPIC_PREFIX": prefix,
            "MICROSERVO_CHECKPOINT_S": "0.2",
            # More than the ten seconds that a group waits for a member that was killed.
            "MICROSERVO_SILENCE_S": "15",
            **(environment or {}),
        }
        broker.admin().ensure_topics(topic_specs(prefix=prefix, partitions=partitions))

    def begin(self, story: Story) -> None:
        begin_run(self.broker, story, prefix=self.prefix)

    def send(self, sent: list[Sent]) -> None:
        with self._lock:
            self._put(sent)
            self._last |= {(one.topic, one.partition): one for one in sent}

    def _put(self, sent: Iterable[Sent]) -> None:
        with self.broker.producer() as producer:
            for one in sent:
                producer.send(
                    self.prefix + one.topic,
                    key=one.key,
                    value=one.value,
                    headers=one.headers,
                    partition=one.partition,
                )
            producer.flush(60)

    @contextmanager
    def heartbeats(self) -> Iterator[None]:
        """Meanwhile no partition falls silent: every second each hears its last promise once more."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(1):
                with self._lock:
                    self._put(replace(last, key=HEARTBEAT_KEY, value=None) for last in self._last.values())

        beating = threading.Thread(target=beat)
        beating.start()
        try:
            yield
        finally:
            over.set()
            beating.join()

    @contextmanager
    def workers(self, count: int = 1) -> Iterator[Supervisor]:
        """Workers under supervision, as they always run: one that stops itself is started anew."""
        with Supervisor() as supervisor:
            for number in range(count):
                supervisor.start(
                    ProcessSpec(
                        name=f"streams-{number}",
                        argv=python_argv("streams"),
                        env=self._env,
                        log=self._folder / "streams.log",
                    )
                )
            yield supervisor

    def read(self, *topics: str) -> list[Message]:
        """Everything on the topics so far."""
        return [each for topic in topics for each in read_topic(self.broker, self.prefix + topic)]

    def windows(self) -> dict[Key, bytes]:
        """All revisions on the window topics; a repeated one must have the same bytes."""
        found: dict[Key, bytes] = {}
        for message in self.read(*WINDOW_TOPICS):
            at = (message.header("ce_id") or b"").split(b"/")[-2:]
            key = (message.topic.removeprefix(self.prefix), message.key or b"", b"/".join(at))
            value = message.value or b""
            assert found.setdefault(key, value) == value, (key, decode(found[key]), decode(value))
        return found

    def has_more_than(self, count: int) -> bool:
        return len(self.windows()) > count
