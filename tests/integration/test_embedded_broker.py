"""The embedded broker: it starts, survives, and keeps what it acknowledged."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from microservo.adapters.broker import Message, Partition, TopicSpec
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
from microservo.adapters.kafka.embedded import (
    BrokerProcess,
    EmbeddedBroker,
    default_cache_dir,
    running_broker,
)
from microservo.adapters.ports import free_ports
from microservo.errors import Retryable, Unavailable
from microservo.testing import eventually

pytestmark = pytest.mark.integration

FLUSH_S = 120


def client_of(process: BrokerProcess) -> KafkaBroker:
    return KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers))


def count_by_value(broker: KafkaBroker, topic: str) -> Counter[bytes | None]:
    """How often each value lies in a topic."""
    found: Counter[bytes | None] = Counter()
    with broker.consumer(group_id=None) as consumer:
        ranges = {p: consumer.offset_range(p) for p in consumer.partitions(topic)}
        consumer.assign({p: begin for p, (begin, _) in ranges.items()})
        total = sum(end - begin for begin, end in ranges.values())

        def all_read() -> bool:
            found.update(message.value for message in consumer.consume(1000, 0.1))
            return found.total() >= total

        eventually(all_read, timeout_s=120, interval_s=0, what=f"{total} messages")
    return found


def send_all(
    broker: KafkaBroker, topic: str, values: list[bytes], delivered: Callable[[Message], None]
) -> None:
    with broker.producer() as producer:
        for value in values:

            def accepted(value: bytes = value) -> bool:
                try:
                    producer.send(topic, key=value, value=value, on_delivery=delivered)
                except Retryable:
                    return False
                return True

            eventually(accepted, timeout_s=120, what="room in the queue")
        producer.flush(FLUSH_S)


def test_after_kill_9_in_the_middle_all_acknowledged_are_there_exactly_once(tmp_path: Path) -> None:
    values = [str(number).encode() for number in range(150_000)]
    acknowledged: list[bytes | None] = []

    def delivered(message: Message) -> None:
        acknowledged.append(message.value)
        if len(acknowledged) == 20_000:
            process.kill()

    with running_broker(tmp_path) as process:
        broker = client_of(process)
        broker.admin().ensure_topics([TopicSpec(name="orders", partitions=12, config={})])
        sender = threading.Thread(target=send_all, args=(broker, "orders", values, delivered))
        sender.start()
        eventually(lambda: process.pid is None, timeout_s=120, what="the kill")
        process.start()
        sender.join()
        assert len(acknowledged) == len(values)
        found = count_by_value(broker, "orders")
    assert found == Counter(values)


def test_data_and_commits_survive_a_restart_on_other_ports(tmp_path: Path) -> None:
    with running_broker(tmp_path) as process:
        broker = client_of(process)
        broker.admin().ensure_topics([TopicSpec(name="orders", partitions=3, config={"retention.ms": "-1"})])
        before = broker.admin().topics()
        send_all(broker, "orders", [b"a", b"b", b"c"], lambda _: None)
        with broker.consumer(group_id="archive") as consumer:
            consumer.assign({Partition("orders", 0): 0})
            consumer.commit({Partition("orders", 0): 1})
    with running_broker(tmp_path) as process:
        broker = client_of(process)
        assert broker.admin().topics() == before
        assert count_by_value(broker, "orders") == Counter([b"a", b"b", b"c"])
        with broker.consumer(group_id="archive") as consumer:
            consumer.assign({Partition("orders", 0): 0})
            consumer.commit({Partition("orders", 0): 1})


FIRST_GROUPS = """
import sys
from microservo.adapters.broker import TopicSpec
from microservo.adapters.kafka import KafkaBroker, KafkaSettings
admin = KafkaBroker(KafkaSettings(bootstrap_servers=sys.argv[1])).admin()
admin.ensure_topics([TopicSpec(name="telemetry", partitions=4, config={})])
for number in range(3):
    admin.begin_group(f"group-{number}", ["telemetry"])
"""


def test_the_first_groups_of_a_new_broker_begin(tmp_path: Path) -> None:
    # In a process of its own: while there was no coordinator, librdkafka ended the one that asked.
    with running_broker(tmp_path) as process:
        command = [sys.executable, "-c", FIRST_GROUPS, process.bootstrap_servers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_small_heap_carries_every_topic_under_load(tmp_path: Path) -> None:
    names = [f"topic-{number}" for number in range(15)]
    values = [str(number).encode() * 60 for number in range(4000)]
    with running_broker(tmp_path, heap_mb=160) as process:
        broker = client_of(process)
        broker.admin().ensure_topics([TopicSpec(name=name, partitions=12, config={}) for name in names])
        senders = [
            threading.Thread(target=send_all, args=(broker, name, values, lambda _: None)) for name in names
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        pid = process.pid
        assert pid is not None
        assert psutil.Process(pid).memory_info().rss < 450_000_000
        assert [count_by_value(broker, name) for name in names] == [Counter(values)] * len(names)


def test_stopping_leaves_no_process_and_nothing_outside_its_folder(tmp_path: Path) -> None:
    with running_broker(tmp_path / "data") as process:
        pid = process.pid
        assert pid is not None
        argv = psutil.Process(pid).cmdline()
        listening = {c.laddr.ip for c in psutil.Process(pid).net_connections() if c.status == "LISTEN"}
    assert not psutil.pid_exists(pid)
    # Java writes 127.0.0.1 on a socket of both families in this way.
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert argv[-1] == str(tmp_path / "data" / "server.properties")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_broker_that_can_not_start_says_why(tmp_path: Path) -> None:
    with running_broker(tmp_path / "first") as process:
        port = int(process.bootstrap_servers.rpartition(":")[2])
        with (
            pytest.raises(Unavailable, match=r"(?s)stopped with exit code.*Address already in use"),
            running_broker(tmp_path / "second", port=port),
        ):
            pass


def test_another_broker_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    port, controller_port = free_ports(2)
    cache_dir = default_cache_dir()
    with running_broker(tmp_path / "first", port=port):
        other = EmbeddedBroker(
            tmp_path / "second", port=port, controller_port=controller_port, cache_dir=cache_dir
        )
        other.prepare()
        assert not other.ready(1)


@pytest.mark.parametrize("folder", ["josé, 日本 🐘", "a:b #c=d%p!"])
def test_a_home_with_any_characters_carries_a_broker(tmp_path: Path, folder: str) -> None:
    with running_broker(tmp_path / folder) as process:
        broker = client_of(process)
        broker.admin().ensure_topics([TopicSpec(name="orders", partitions=1, config={})])
        send_all(broker, "orders", [b"a"], lambda _: None)
        assert count_by_value(broker, "orders") == Counter([b"a"])
    assert [path.name for path in tmp_path.iterdir()] == [folder]
    assert (tmp_path / folder / "log" / "orders-0").is_dir()


KILLED = """
import sys, time
from pathlib import Path
from microservo.adapters.kafka.embedded import running_broker
with running_broker(Path(sys.argv[1])) as process:
    print(process.pid, flush=True)
    time.sleep(600)
"""


def test_a_killed_test_run_leaves_no_broker(tmp_path: Path) -> None:
    # Such as CI runners set; neither may reach the JVM.
    shell = {**os.environ, "JAVA_TOOL_OPTIONS": "-Dno.such=option", "CLASSPATH": "/nowhere"}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=shell) as run:
        assert run.stdout is not None
        broker = psutil.Process(int(run.stdout.readline()))
        assert not {"JAVA_TOOL_OPTIONS", "CLASSPATH"} & set(broker.environ())
        run.kill()
    eventually(lambda: not broker.is_running(), timeout_s=30, what="the broker's end")


def test_clients_of_a_missing_broker_say_how_to_get_one() -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}", connect_timeout_s=0.5)
    broker = KafkaBroker(settings)
    with pytest.raises(Unavailable, match="MICROSERVO_BOOTSTRAP_SERVERS"):
        broker.producer()
    with pytest.raises(Unavailable, match="microservo up"):
        broker.consumer(group_id=None)
    with pytest.raises(Unavailable, match="no Kafka broker answered"):
        broker.admin().wait_ready(0.5)


def test_clients_of_a_broker_that_is_away_ask_to_try_again(tmp_path: Path) -> None:
    with running_broker(tmp_path) as process:
        broker = KafkaBroker(KafkaSettings(bootstrap_servers=process.bootstrap_servers, connect_timeout_s=2))
        broker.admin().ensure_topics([TopicSpec(name=name, partitions=1, config={}) for name in "ab"])
        with broker.producer() as producer, broker.consumer(group_id="g") as consumer:
            consumer.assign({Partition("a", 0): 0})
            producer.send("a", key=None, value=b"before")
            producer.flush(FLUSH_S)
            process.kill()
            producer.send("a", key=None, value=b"meanwhile")
            for act in (
                lambda: producer.flush(0.5),
                lambda: producer.send("b", key=None, value=b"v"),
                lambda: consumer.offset_range(Partition("a", 0)),
                lambda: consumer.offset_at(Partition("a", 0), 0),
                lambda: consumer.commit({Partition("a", 0): 1}),
            ):
                with pytest.raises(Retryable):
                    act()
            process.start()
            producer.flush(FLUSH_S)
            got: list[bytes | None] = []

            def both_read() -> bool:
                got.extend(message.value for message in consumer.consume(10, 0.1))
                return len(got) >= 2

            eventually(both_read, timeout_s=60, what="both messages")
            assert got == [b"before", b"meanwhile"]
            consumer.commit({Partition("a", 0): 2})


def test_an_error_of_a_wait_names_the_whole_wait() -> None:
    settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(Unavailable, match=r"no Kafka broker answered at .* within 0\.3 s"):
        KafkaBroker(settings).admin().wait_ready(0.3)
