"""Finding the broker to talk to: as named, from the environment, or from the system that runs here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from microservo.adapters.broker import Broker
from microservo.errors import InvalidInput, Unavailable
from microservo.supervision.system_file import DEFAULT_SYSTEM, SystemFile, running_system, running_systems
from schemas import catalogue

if TYPE_CHECKING:
    from microservo.adapters.kafka import KafkaSettings
    from microservo.platforms.platform import Platform

__all__ = ["Broker", "Connection", "SystemFile", "connect", "kafka_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A broker, what stands before its topics' names, and the running system where one is known."""

    broker: Broker
    topic_prefix: str
    system: SystemFile | None = None

    def topic(self, name: str) -> str:
        """The physical name of a topic of the contract, or of the dead-letter topic of one.

        Raises:
            InvalidInput: there is no such topic; the message names those that are.
        """
        if name.removesuffix(catalogue.DEAD_LETTER_SUFFIX) not in catalogue.catalogue():
            msg = f"there is no topic {name!r}; choose one of {', '.join(catalogue.catalogue())}"
            raise InvalidInput(msg)
        return self.topic_prefix + name

    def platform(self) -> Platform | None:
        """The platform of the running system's target; None while no target runs here."""
        from microservo.platforms.target import running_platform  # noqa: PLC0415  # see `connect`

        return None if self.system is None else running_platform(Path(self.system.target_state))


def connect(
    bootstrap_servers: str | None = None, *, system: str | None = None, topic_prefix: str | None = None
) -> Connection:
    """The broker named by argument, by `MICROSERVO_BOOTSTRAP_SERVERS`, or by the running system's file.

    Args:
        bootstrap_servers: host:port of one or more brokers, separated by commas.
        system: name of a system that runs on this machine; comes before the environment. Without it, the
            one called "default" counts, or the only one that runs.
        topic_prefix: put before every topic name; `MICROSERVO_TOPIC_PREFIX` or the system's own if not given.

    Raises:
        Unavailable: nothing was named, or the named system does not run.
        InvalidInput: the settings of the broker contradict one another.
    """
    found = running_system(system) if system else _only_system()
    named = bootstrap_servers or (None if system else os.environ.get("MICROSERVO_BOOTSTRAP_SERVERS"))
    if named is None and found is None:
        raise Unavailable(_nothing_runs(system))
    # Loading Kafka's client takes a fifth of a second, which acts without a broker need not spend.
    from microservo.adapters.kafka import KafkaBroker  # noqa: PLC0415

    servers = named or (found.bootstrap_servers if found else "")
    known = found if found is not None and found.bootstrap_servers == servers else None
    return Connection(
        broker=KafkaBroker(kafka_settings(servers)),
        topic_prefix=_prefix(topic_prefix, known),
        system=known,
    )


def kafka_settings(bootstrap_servers: str | None = None) -> KafkaSettings:
    """The settings of the environment, with these servers where given.

    Raises:
        InvalidInput: they can't be used, or contradict one another.
    """
    from microservo.adapters.kafka import KafkaSettings  # noqa: PLC0415  # see `connect`
    from microservo.runtime.environment import from_environment  # noqa: PLC0415

    given = {"bootstrap_servers": bootstrap_servers} if bootstrap_servers else {}
    return from_environment(KafkaSettings, **given)


def _only_system() -> SystemFile | None:
    """The default system, or another one if it is the only one that runs."""
    found = running_systems()
    default = next((each for each in found if each.name == DEFAULT_SYSTEM), None)
    return default or (found[0] if len(found) == 1 else None)


def _prefix(given: str | None, system: SystemFile | None) -> str:
    if given is not None:
        return given
    return os.environ.get("MICROSERVO_TOPIC_PREFIX") or (system.topic_prefix if system else "")


def _nothing_runs(system: str | None) -> str:
    names = ", ".join(each.name for each in running_systems())
    if names:
        what = "several systems run" if system is None else f"no system {system!r} runs"
        return f"{what}; choose with --system: {names}"
    if system is None or system == DEFAULT_SYSTEM:
        return "no running system; start one with `microservo up` or give --bootstrap-servers"
    return (
        f"no running system {system!r}; start it with `microservo up --name {system}` or leave --system out"
    )
