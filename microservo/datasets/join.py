"""The joined topics of a run through the windower that also runs live, one per partition number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from microservo.adapters.broker import Message
from microservo.datasets.slices import SLICE_US
from microservo.datasets.telemetry import RowBuffer
from microservo.datasets.windows import WindowBuffer
from microservo.domain.datasets.ledger import LedgerRow
from microservo.domain.datasets.stamps import StampAudit
from microservo.domain.join import Processed, process_stamped
from microservo.domain.joined_topics import SOURCES
from microservo.domain.ledger import MINUTE_US, Account, Counts, Ledger
from microservo.domain.telemetry import SIGNALS, Signal, record_count
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from microservo.errors import InvalidMessage
from schemas import catalogue
from schemas.envelope import Stamp
from schemas.records import (
    FaultEffect,
    FaultVerdict,
    RunWriter,
    ServiceAction,
    ServiceFault,
    ServiceInventory,
)

_SIGNAL_OF: dict[str, Signal] = {
    catalogue.TELEMETRY_METRICS: "metrics",
    catalogue.TELEMETRY_LOGS: "logs",
    catalogue.TELEMETRY_TRACES: "traces",
}
_TOPIC_OF: dict[type, str] = {
    ServiceFault: catalogue.SERVICE_FAULTS,
    FaultEffect: catalogue.FAULT_EFFECTS,
    FaultVerdict: catalogue.FAULT_EFFECTS,
    ServiceAction: catalogue.SERVICE_ACTIONS,
}


class Join:
    """Joins the messages of the joined topics, in any interleaving of the partitions.

    Args:
        run_id: run whose messages count.
        policy: how the run's windows were cut.
        writers: who wrote in it, as its record declares.
        partition_numbers: of the joined topics.
    """

    def __init__(
        self,
        *,
        run_id: str,
        policy: WindowPolicy,
        partition_numbers: list[int],
        writers: Sequence[RunWriter] = (),
    ) -> None:
        self._run_id = run_id
        self._policy = policy
        self._windowers = {index: Windower(policy) for index in partition_numbers}
        for windower in self._windowers.values():
            windower.open_run(run_id, writers)
        self._seen_versions: set[tuple[type, str, str, int]] = set()
        self._own_ledger = Ledger()
        self.windows = WindowBuffer()
        self.rows = {signal: RowBuffer(signal, policy) for signal in SIGNALS}
        self.audits = {source: StampAudit() for source in SOURCES}
        self._fault_values: list[bytes] = []
        self._action_values: list[bytes] = []

    @property
    def final_us(self) -> dict[int, int]:
        """By partition number: windows that end by then are final; -1 while there are none."""
        return {index: windower.final_us(self._run_id) for index, windower in self._windowers.items()}

    @property
    def final_before_us(self) -> int:
        """Every slice that ended by this instant is complete in all partitions; -1 while one is silent."""
        # The window of the last row before it may reach beyond it.
        low = min(self.final_us.values(), default=-1) - self._policy.size_us
        return low - low % SLICE_US if low > 0 else -1

    @property
    def held(self) -> int:
        """How many batches, windows and accounts are in memory, but for those that are open in windowers."""
        accounts = sum(1 for ledger in self._ledgers() for _ in ledger)
        return sum(map(len, self.rows.values())) + len(self.windows) + accounts

    def process_message(self, source: str, message: Message) -> int:
        """Processes one message of a joined topic and returns its promise, -1 if it carries none."""
        try:
            stamp = Stamp.read(message.headers)
        except ValueError:
            self.audits[source].totals.rejected_messages += 1
            return -1
        if stamp.run != self._run_id:
            records = 0 if message.value is None else None
            self.audits[source].observe(message.partition, stamp, records, own=False)
            return stamp.watermark_us
        windower = self._windowers[message.partition]
        rejected = windower.ledger.rejected
        try:
            processed = process_stamped(windower, source, message.value, stamp)
        except InvalidMessage:
            self._refused(source, message, stamp, counted=windower.ledger.rejected - rejected)
        else:
            self._accepted(source, message, stamp, processed)
        return stamp.watermark_us

    def fault_values(self) -> list[bytes]:
        """Removes the values of messages about faults and their effects that came since the last call."""
        values, self._fault_values = self._fault_values, []
        return values

    def action_values(self) -> list[bytes]:
        """Removes the values of messages about acts of placement that came since the last call."""
        values, self._action_values = self._action_values, []
        return values

    def close(self) -> None:
        """Collects the windows whose cut has been passed; call it after every batch of messages."""
        for windower in self._windowers.values():
            for window in windower.close():
                self.windows.add(window)
                if window.delay_us:
                    for rows in self.rows.values():
                        rows.delay(window.service, window.start_us, window.delay_us)
            windower.forget()

    def end_run(self) -> None:
        """Declares that all of a run that is over was read, so that no label of it will change."""
        for windower in self._windowers.values():
            windower.end_run(self._run_id)

    def unfinished(self) -> dict[tuple[str, int], dict[str, int]]:
        """How many records of each source the windows have that are not final, by service and start."""
        return {
            (service, start_us): counts
            for windower in self._windowers.values()
            for service, start_us, counts in windower.unfinished(self._run_id)
        }

    def settled(self, before_us: int) -> list[LedgerRow]:
        """Removes the counts of minutes that ended by `before_us` and returns those of the run.

        A record that comes later than any window waits for opens the account of its minute anew: rows of the
        same source, service and minute are to be added up.
        """
        return [
            _ledger_row(account, counts)
            for ledger in self._ledgers()
            for account, counts in ledger.settle(self._run_id, before_us)
        ]

    def _ledgers(self) -> list[Ledger]:
        return [self._own_ledger, *(windower.ledger for windower in self._windowers.values())]

    def _accepted(self, source: str, message: Message, stamp: Stamp, processed: Processed) -> None:
        audit, record = self.audits[source], processed.record
        if record is None:
            audit.observe(message.partition, stamp, 0, own=True)
        elif record.run_id != self._run_id:
            audit.observe(message.partition, stamp, None, own=False)
        elif isinstance(record, ServiceFault | FaultEffect | FaultVerdict):
            audit.observe(message.partition, stamp, 1, own=True)
            self._count_version(record, record.fault_id, stamp)
            self._fault_values.append(message.value or b"")
        elif isinstance(record, ServiceAction):
            audit.observe(message.partition, stamp, 1, own=True)
            self._count_version(record, record.decision_id, stamp)
            self._action_values.append(message.value or b"")
        elif isinstance(record, ServiceInventory):
            audit.observe(message.partition, stamp, 0, own=True)
        else:
            audit.observe(message.partition, stamp, record_count(record), own=True)
            self.rows[_SIGNAL_OF[source]].add(record, processed.late)

    def _count_version(
        self, record: ServiceFault | FaultEffect | FaultVerdict | ServiceAction, of: str, stamp: Stamp
    ) -> None:
        """Counts one version of what was said of a fault or an act of placement, by its id."""
        counts = self._counts(_TOPIC_OF[type(record)], record.service, stamp)
        version = (type(record), record.service, of, record.version)
        counts.read += 1
        counts.duplicate += version in self._seen_versions
        counts.in_windows += version not in self._seen_versions
        self._seen_versions.add(version)

    def _refused(self, source: str, message: Message, stamp: Stamp, *, counted: int) -> None:
        """Counts the records of a message that could not be used, unless the windower did so itself."""
        records = counted or (0 if message.value is None else None)
        added = self.audits[source].observe(message.partition, stamp, records, own=True, is_rejected=True)
        if not counted:
            service = (message.key or b"").decode(errors="replace")
            self._own_ledger.reject(self._run_id, source, service, stamp.watermark_us, added)

    def _counts(self, source: str, service: str, stamp: Stamp) -> Counts:
        return self._own_ledger.counts(self._run_id, source, service, stamp.watermark_us)


def unfinished_rows(unfinished: Mapping[tuple[str, int], Mapping[str, int]]) -> Iterator[LedgerRow]:
    """The ledger's counts of records in windows that are not final; keys are those of `Join.unfinished`."""
    for (service, start_us), counts in unfinished.items():
        for source, count in counts.items():
            if count:
                account = Account("", source, service, start_us - start_us % MINUTE_US)
                yield replace(_ledger_row(account, Counts()), unfinished=count)


def _ledger_row(account: Account, counts: Counts) -> LedgerRow:
    return LedgerRow(
        source=account.source,
        service=account.service,
        minute_us=account.minute_us,
        read=counts.read,
        in_windows=counts.in_windows,
        late=counts.late,
        duplicate=counts.duplicate,
        dropped=counts.dropped,
        rejected=counts.rejected,
        unfinished=0,
    )
