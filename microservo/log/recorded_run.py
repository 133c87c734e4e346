"""A run as it lies on the log: the windows that algorithms are given, and what is known to be true of it."""

from __future__ import annotations

from collections.abc import Iterator

from microservo.adapters.broker import Broker, Consumer, Partition
from microservo.domain.evaluation import Read
from microservo.errors import InvalidInput
from microservo.log.feature_windows import past_windows
from microservo.log.ranges import Ranges, read_ranges
from microservo.log.reader import read_state
from schemas import catalogue
from schemas.codec import SchemaError, decode
from schemas.records import Experiment, FeatureWindow, ServiceGraph

_FACTS = (
    catalogue.LABELLED_WINDOWS,
    catalogue.SERVICE_FAULTS,
    catalogue.FAULT_EFFECTS,
    catalogue.CASES,
    catalogue.ALGORITHMS,
    catalogue.EVALUATIONS,
)


_LATER = (catalogue.CASES, catalogue.ALGORITHMS, catalogue.EVALUATIONS)


class RecordedRun:
    """Reads a run.

    Args:
        broker: where it lies.
        run_id: of the run.
        topic_prefix: put before every topic name.

    Raises:
        InvalidInput: there is no such run.
        Retryable: the broker is away for now.
    """

    def __init__(self, broker: Broker, run_id: str, topic_prefix: str = "") -> None:
        self._broker = broker
        self._prefix = topic_prefix
        run = read_state(broker, topic_prefix + catalogue.EXPERIMENTS, Experiment).get(run_id)
        if run is None:
            msg = f"there is no run {run_id!r}; `microservo runs list` shows those that are"
            raise InvalidInput(msg)
        self.run = run
        self.name = run_id

    def windows(self) -> Iterator[tuple[FeatureWindow, int]]:
        """The first revisions of all windows in order of time, each with its partition.

        Raises:
            Retryable: the broker stopped giving messages.
        """
        for each in past_windows(self._broker, self._ranges(catalogue.FEATURE_WINDOWS), self.run.run_id):
            yield each.window, each.message.partition

    def facts(self) -> Iterator[Read]:
        """What is known to be true, what was asked about, and what algorithms are.

        Raises:
            Retryable: the broker stopped giving messages.
        """
        for record in self._records(*_FACTS):
            if isinstance(record, Read):
                yield record

    def graphs(self) -> Iterator[ServiceGraph]:
        """Who called whom.

        Raises:
            Retryable: the broker stopped giving messages.
        """
        for record in self._records(catalogue.SERVICE_GRAPH):
            if isinstance(record, ServiceGraph) and record.run_id == self.run.run_id:
                yield record

    def _records(self, *topics: str) -> Iterator[object]:
        """What can be read of some topics; what can't is the business of those who follow them."""
        with self._broker.consumer(group_id=None) as consumer:
            ranges = {at: bounds for topic in topics for at, bounds in self._ranges(topic).items()}
            for message in read_ranges(consumer, ranges, compacted=True):
                if message.value is None or message.header("run") not in (None, self.run.run_id.encode()):
                    continue
                try:
                    yield decode(message.value)
                except SchemaError:
                    continue

    def _ranges(self, topic: str) -> Ranges:
        """From where the run begins to where the topic ends now: labels may be revised after its end."""
        is_state = catalogue.catalogue()[topic].kind == "state"
        found = {}
        with self._broker.consumer(group_id=None) as consumer:
            for partition in self._partitions(consumer, topic):
                first, end = consumer.offset_range(partition)
                start = first if is_state else self.run.start_offsets.get(f"{topic}/{partition.index}", first)
                found[partition] = max(first, start), end
        return found

    def _partitions(self, consumer: Consumer, topic: str) -> list[Partition]:
        try:
            return list(consumer.partitions(self._prefix + topic))
        except InvalidInput:
            # A broker from before there were algorithms has no topics of theirs.
            if topic in _LATER:
                return []
            raise
