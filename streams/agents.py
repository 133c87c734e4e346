"""The one agent: every message of the joined topics, to the joiner of its partition."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, cast

import faust

from microservo.adapters.broker import Message
from microservo.adapters.clock import now_us
from microservo.domain.join import stamp_of
from microservo.domain.joined_topics import SOURCES
from microservo.domain.watermarks import UNKNOWN
from microservo.errors import Fatal, InvalidMessage, MicroServoError, Retryable
from microservo.log.run_records import KnownRuns
from microservo.log.writers import LEASE_US
from microservo.retry import retry_async
from microservo.runtime.metrics import (
    MESSAGES_TOTAL,
    RECORDS_TOTAL,
    RETRIES_TOTAL,
    WATERMARK_LAG_SECONDS,
)
from schemas.envelope import Stamp
from streams.joiner import Acknowledgeable, Joiner
from streams.outputs import Outputs
from streams.settings import StreamsSettings
from streams.silent import SilentManagers

_SERVICE = "streams"
logger = logging.getLogger(__name__)


class Join:
    """The state of this worker: a joiner for each partition number that it was assigned.

    Args:
        app: the application that the agent belongs to.
        settings: prefix of topics, policy of windows, pace of checkpoints.
        checkpoints: table of one value per partition and run: up to where windows are final and durable.
        outputs: where windows go.
        runs: who writes in which run.
        silent: takes managers out of runs.
    """

    def __init__(
        self,
        app: faust.App,
        settings: StreamsSettings,
        checkpoints: Any,
        outputs: Outputs,
        runs: KnownRuns,
        *,
        silent: SilentManagers,
    ) -> None:
        self._app = app
        self._settings = settings
        self._policy = settings.policy()
        self._topics = {settings.topic(source): source for source in SOURCES}
        self._messages_in = {
            topic: MESSAGES_TOTAL.labels(_SERVICE, source, "in") for topic, source in self._topics.items()
        }
        self._checkpoints = checkpoints
        self._outputs = outputs
        self._runs = runs
        self._silent = silent
        self._runs_lock = asyncio.Lock()
        self._joiners: dict[int, Joiner] = {}
        self._assigned: list[Any] = []
        self._earliest: Mapping[Any, int] = {}
        self._flush_due = 0.0
        self.received_at = time.monotonic()
        """When partitions were assigned or the last message arrived, on the monotonic clock.

        Heartbeats flow, so silence is ill; but a group that waits for a member that was killed is not.
        """

    async def run(self, stream: Any) -> None:
        """The agent. Nothing is acknowledged before the windows that it is part of are final and durable."""
        async for event in cast("AsyncIterator[Any]", stream.noack().events()):
            await self._process(event)

    async def on_assigned(self, _app: faust.App, assigned: Iterable[Any], **_: Any) -> None:
        """Drops the joiners that moved away; the others see what they have not acknowledged once more."""
        self.received_at = time.monotonic()
        self._assigned = [tp for tp in assigned if tp.topic in self._topics]
        self._earliest = {}
        partitions = {tp.partition for tp in self._assigned}
        for partition in set(self._joiners) - partitions:
            del self._joiners[partition]
        for joiner in self._joiners.values():
            joiner.abandon()

    async def stop_if_silent(self) -> None:
        """Stops a worker that receives nothing, so that supervision starts it anew.

        Joined topics carry heartbeats. After a rebalance Faust's consumer can fall silent for good, with all
        signs of health (faust#175, #640); a fresh start reads on from the last commit.
        """
        silent_s = time.monotonic() - self.received_at
        if silent_s > self._settings.silence_s:
            msg = f"no message for {silent_s:.0f} s, not even a heartbeat; the worker stops to begin anew"
            await self._app.crash(Fatal(msg))

    async def follow_runs(self) -> None:
        """Reads which writers were declared meanwhile, and which runs are over."""
        try:
            await self._refresh()
        except Retryable as error:
            # No window is cut that a writer declared meanwhile may belong to; see `LEASE_US`.
            logger.warning("what is known of runs grows old: %s", error)
            return
        for joiner in self._joiners.values():
            for run_id in joiner.open_runs:
                joiner.update_run(run_id, self._runs.get(run_id))
        await self._silent.look(list(self._joiners.values()))

    async def _process(self, event: Any) -> None:
        message = event.message
        joiner = self._joiner(message.partition)
        headers = list(message.headers or ())
        self.received_at = time.monotonic()
        self._messages_in[message.topic].inc()
        source = self._topics[message.topic]
        if not joiner.has_begun(source):
            joiner.begin(source, await self._beginning(message.tp))
        stamp = stamp_of(headers)
        if isinstance(stamp, Stamp) and not joiner.knows(source, stamp):
            await self._find_writer(joiner, stamp)
        try:
            joiner.process_message(source, message.offset, message.value, stamp, cast(Acknowledgeable, event))
        except InvalidMessage as error:
            await self._outputs.reject(_as_message(message, headers), str(error))
        # Windows are kept for minutes, and messages as long as windows need them: to acknowledge one takes
        # its place and not its bytes.
        message.value = event.value = None
        for closed in joiner.windows(self._runs.known_until_us + LEASE_US):
            await self._outputs.window(closed, joiner.partition)
        self._checkpoint(joiner)
        if self.received_at >= self._flush_due:
            self._flush_due = self.received_at + self._settings.checkpoint_s
            await self._flush()

    async def _find_writer(self, joiner: Joiner, stamp: Stamp) -> None:
        """Finds out who writes in the run of a message; one that is still unknown then is not declared.

        Those that a run begins with are in its first record. Others are declared so long before their first
        stamp that what was known a lease before it names them; so an undeclared one does not hold this up.
        """
        is_new = stamp.run not in joiner.open_runs and self._runs.get(stamp.run) is None
        if is_new or self._runs.known_until_us + LEASE_US < stamp.watermark_us:
            await retry_async(self._refresh, on_failure=_count_retry)
        joiner.update_run(stamp.run, self._runs.get(stamp.run))

    async def _refresh(self) -> None:
        async with self._runs_lock:
            await asyncio.get_running_loop().run_in_executor(None, self._runs.refresh)

    async def _beginning(self, partition: Any) -> int:
        """Where reading must begin: at the group's last commit, or where the log begins if that is later.

        Around a rebalance Faust drops what it had fetched, and only where something was committed does it
        go back. A joiner that begins behind what was dropped would cut windows with records missing.
        """
        consumer = self._app.consumer
        if partition not in self._earliest:
            # Of all at once: Faust's consumer answers only between two fetches, about once a second.
            self._earliest = await consumer.earliest_offsets(*self._assigned, partition)
        return max(int(self._earliest[partition]), int(consumer._committed_offset.get(partition) or 0))

    def _joiner(self, partition: int) -> Joiner:
        joiner = self._joiners.get(partition)
        if joiner is None:
            joiner = self._joiners[partition] = Joiner(
                partition, self._policy, checkpoint=lambda run_id: self._checkpoint_of(partition, run_id)
            )
        return joiner

    def _checkpoint_of(self, partition: int, run_id: str) -> int:
        return self._checkpoints.get(f"{partition}/{run_id}", UNKNOWN) or UNKNOWN

    def _checkpoint(self, joiner: Joiner) -> None:
        """Writes the checkpoints of the partition whose message is at hand.

        Of no other: the table sends them to the changelog partition that the current event came from.
        """
        for run_id, durable_us in joiner.durable_us.items():
            if durable_us > joiner.checkpoints_us[run_id]:
                joiner.checkpoints_us[run_id] = durable_us
                self._checkpoints[f"{joiner.partition}/{run_id}"] = durable_us

    async def _flush(self) -> None:
        """Outputs durable, then their checkpoint, then acknowledged: a crash in between only repeats bytes.

        One flush serves all partitions, for the agent stands still meanwhile: it makes the outputs durable
        that the next checkpoints vouch for, and the checkpoints written since the flush before.
        """
        before = [(each, each.final_us(), dict(each.checkpoints_us)) for each in self._joiners.values()]
        await asyncio.gather(self._outputs.durable(), self._app.producer.flush())
        for joiner, final_us, checkpoints_us in before:
            if self._joiners.get(joiner.partition) is not joiner:
                continue  # it moved away while the agent waited
            joiner.durable_us = final_us
            joiner.release(checkpoints_us)
            self._settle(joiner, final_us)
            self._measure_lag(joiner)

    def _measure_lag(self, joiner: Joiner) -> None:
        """How far event time lies behind in the run that has come furthest: those before it stand still."""
        cuts_us = [joiner.windower.passed(run_id).first_us for run_id in joiner.open_runs]
        lag_us = now_us() - max(cuts_us, default=now_us()) - self._policy.first_cut_us
        WATERMARK_LAG_SECONDS.labels(str(joiner.partition)).set(max(0, lag_us) / 1e6)

    def _settle(self, joiner: Joiner, final_us: Mapping[str, int]) -> None:
        """Moves the counts of minutes that are over from the ledger to the metrics."""
        for run_id, until_us in final_us.items():
            for account, counts in joiner.windower.ledger.settle(run_id, until_us - self._policy.size_us):
                for outcome, count in (
                    ("in", counts.read),
                    ("out", counts.in_windows),
                    ("late", counts.late),
                    ("duplicate", counts.duplicate),
                    ("dropped", counts.dropped),
                    ("rejected", counts.rejected),
                    ("unfinished", counts.open),
                ):
                    RECORDS_TOTAL.labels(_SERVICE, account.source, outcome).inc(count)


def _count_retry(_: MicroServoError) -> None:
    RETRIES_TOTAL.labels("runs").inc()


def _as_message(message: Any, headers: list[tuple[str, bytes]]) -> Message:
    return Message(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_us=int((message.timestamp or 0) * 1_000_000),
        key=message.key,
        value=message.value,
        headers=tuple(headers),
    )
