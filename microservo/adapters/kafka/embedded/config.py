"""The configuration of the embedded broker: its properties, the form of its log, the limits of the JVM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LOG4J_FILE = "log4j2.properties"
"""Where `log4j2_properties` belongs, in the broker's working directory."""

_FOREVER = 2**63 - 1

_PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT

# One node: nothing to replicate to, and nothing to wait for.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false

# After `kill -9` the next incarnation waits until this session of the one before has run out.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# Everything is kept: a dataset is rebuilt from the log. Segments roll by size only: with event time as
# timestamp, old data written after new would roll one at every step in time.
log.retention.ms=-1
log.retention.bytes=-1
log.roll.ms={_FOREVER}
log.segment.bytes=67108864
# A message from a clock that runs ahead must arrive, to be judged and dead-lettered: KIP-1030's one hour
# would have the producer fail instead.
log.message.timestamp.type=CreateTime
log.message.timestamp.after.max.ms={_FOREVER}
# Index files are allocated in full, two per partition; this much is enough for a whole segment.
log.index.size.max.bytes=1048576

# The cleaner's default of 128 MiB would not fit into the heap.
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.io.buffer.size=262144

num.network.threads=2
num.io.threads=2
background.threads=2
num.replica.fetchers=1
num.recovery.threads.per.data.dir=2
group.coordinator.threads=1
share.coordinator.threads=1
"""

# Log4j's own hook would close the log before Kafka has written how it stopped.
_LOG4J = """\
status=warn
shutdownHook=disable
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{yyyy-MM-dd'T'HH:mm:ss.SSS'Z'}{UTC} %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.started.name=kafka.server.KafkaRaftServer
logger.started.level=info
"""


def server_properties(
    *, port: int, controller_port: int, log_dir: str, extra: Mapping[str, str] | None = None
) -> str:
    """The text of `server.properties`, in ASCII; everything listens on 127.0.0.1 only.

    Args:
        port: where clients connect.
        controller_port: used by the node itself.
        log_dir: folder of the log, relative to the broker's working directory: Kafka splits `log.dirs` at
            commas and knows no way to quote one, so no part of a user's path may stand there.
        extra: properties by name, over ours.
    """
    own = {
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "log.dirs": log_dir,
    }
    # Of a name that comes twice Java takes the later one.
    lines = (f"{name}={_escaped(value)}\n" for name, value in {**own, **(extra or {})}.items())
    return _PROPERTIES + "\n" + "".join(lines)


def _escaped(value: str) -> str:
    """A value as Java's properties read it: Latin-1 with escapes, and blanks before it are skipped."""
    return "".join(map(_escaped_character, value))


def _escaped_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if " " < character <= "~":
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def log4j2_properties() -> str:
    """The text of the log's configuration: warnings and the ready line, to standard output."""
    return _LOG4J


def jvm_options(*, heap_mb: int, data_dir: Path) -> list[str]:
    """The JVM's options for a machine of 4 GB that has other work to do."""
    return [
        "-Xms32m",
        f"-Xmx{heap_mb}m",
        "-Xss512k",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        # A broker out of memory is half alive; its supervisor can only restart one that is gone.
        "-XX:+ExitOnOutOfMemoryError",
        # Nothing outside the data directory: no counters, native libraries or crash reports in /tmp.
        "-XX:-UsePerfData",
        # Relative to the working directory: the JVM expands '%' there, and Log4j reads a URL.
        "-XX:ErrorFile=jvm-crash.log",
        f"-Djava.io.tmpdir={data_dir / 'tmp'}",
        # Each network and I/O thread would keep a direct buffer as large as its largest request.
        "-Djdk.nio.maxCachedBufferSize=262144",
        f"-Dlog4j2.configurationFile={LOG4J_FILE}",
    ]
