"""How topics are made and listed, on every broker."""

from __future__ import annotations

from microservo.adapters.broker import Broker, Partition, TopicSpec
from microservo.errors import InvalidInput
from microservo.testing.brokers.acts import orders
from microservo.testing.checks import refused


def ensure_topics_creates_once_and_says_what_it_created(broker: Broker, prefix: str) -> None:
    admin = broker.admin()
    first = TopicSpec(name=f"{prefix}a", partitions=2, config={"cleanup.policy": "compact"})
    second = TopicSpec(name=f"{prefix}b", partitions=1, config={})
    assert admin.ensure_topics([first]) == [first.name]
    assert admin.ensure_topics([first, second]) == [second.name]
    assert admin.ensure_topics([first, second]) == []
    mine = [state for state in admin.topics() if state.name.startswith(prefix)]
    assert [(state.name, state.partitions, state.config) for state in mine] == [
        (first.name, 2, {"cleanup.policy": "compact"}),
        (second.name, 1, {}),
    ]


def ensure_topics_refuses_another_number_of_partitions(broker: Broker, prefix: str) -> None:
    admin = broker.admin()
    admin.ensure_topics([TopicSpec(name=f"{prefix}a", partitions=2, config={})])
    fresh = TopicSpec(name=f"{prefix}b", partitions=1, config={})
    with refused(InvalidInput, "has 2 partitions, expected 3"):
        admin.ensure_topics([fresh, TopicSpec(name=f"{prefix}a", partitions=3, config={})])
    assert fresh.name not in {state.name for state in admin.topics()}


def the_brokers_own_topics_are_not_listed(broker: Broker, prefix: str) -> None:
    topic = orders(broker, prefix)
    with broker.consumer(group_id=f"{topic}-group") as consumer:
        consumer.assign({Partition(topic, 0): 0})
        consumer.commit({Partition(topic, 0): 0})
    names = [state.name for state in broker.admin().topics()]
    assert topic in names
    assert not [name for name in names if name.startswith("__")]


def a_running_broker_is_ready(broker: Broker, prefix: str) -> None:
    broker.admin().wait_ready(30)
