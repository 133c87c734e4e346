"""A run's new state in, a dataset out."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from microservo.adapters.broker import Broker, Message
from microservo.datasets import rebuild, verify
from microservo.errors import InvalidInput, OffsetGap, Retryable
from microservo.runtime.metrics import RECORDS_TOTAL
from microservo.runtime.shutdown import Shutdown
from schemas.catalogue import EXPERIMENTS
from schemas.codec import SchemaError, decode_as
from schemas.records import Experiment

logger = logging.getLogger(__name__)

_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Archive:
    """The folder of datasets.

    Args:
        broker: where runs are rebuilt from.
        folder: holds one dataset per run, by run id; made when needed.
        topic_prefix: put before every topic name.
        shutdown: ends a rebuild in its course; the next start begins it anew.
        on_step: called now and then while work goes on.
    """

    def __init__(
        self,
        broker: Broker,
        folder: Path,
        topic_prefix: str,
        *,
        shutdown: Shutdown,
        on_step: Callable[[], None],
    ) -> None:
        self._broker = broker
        self._folder = folder
        self._topic_prefix = topic_prefix
        self._shutdown = shutdown
        self._on_step = on_step

    def clean(self) -> None:
        """Removes what a killed archiver left half built."""
        for left in self._folder.glob(".*.partial-*"):
            shutil.rmtree(left, ignore_errors=True)

    def handle(self, messages: list[Message]) -> None:
        """Archives the finished runs among the messages; each is looked at once, in its newest state.

        Raises:
            Retryable: the broker stopped answering, or shutdown was requested.
        """
        newest = {run.run_id: run for message in messages if (run := _run(message))}
        for run in newest.values():
            if run.status == "finished":
                self._archive(run.run_id)
                self._on_step()

    def _archive(self, run_id: str) -> None:
        if not _FOLDER_NAME.fullmatch(run_id):
            logger.error("run id %r can't name a folder; the run is not archived", run_id)
            RECORDS_TOTAL.labels("archiver", EXPERIMENTS, "rejected").inc()
            return
        target = self._folder / run_id
        problems = _problems(target)
        if problems == []:
            logger.info("run %s is archived already", run_id, extra={"run_id": run_id})
            return
        try:
            self._build(run_id, target, problems)
        except (InvalidInput, OffsetGap) as error:
            # One run that can't be had any more must not keep the others from being archived.
            logger.error("run %s can't be archived: %s", run_id, error, extra={"run_id": run_id})
            RECORDS_TOTAL.labels("archiver", EXPERIMENTS, "rejected").inc()
        else:
            RECORDS_TOTAL.labels("archiver", EXPERIMENTS, "out").inc()

    def _build(self, run_id: str, target: Path, problems: list[str] | None) -> None:
        fresh = self._folder / f".{run_id}.fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        manifest = rebuild(
            self._broker,
            run_id=run_id,
            out_dir=fresh,
            topic_prefix=self._topic_prefix,
            progress=self._progress,
        )
        if problems is not None:
            logger.warning("the dataset of run %s did not verify and is put aside: %s", run_id, problems[0])
            target.rename(_free(target))
        fresh.rename(target)
        logger.info(
            "run %s is archived", run_id, extra={"run_id": run_id, "content_hash": manifest.content_hash}
        )

    def _progress(self, _done: int, _total: int) -> None:
        self._on_step()
        if self._shutdown.requested:
            msg = "shutdown was requested during a rebuild; the next start begins it anew"
            raise Retryable(msg)


def _run(message: Message) -> Experiment | None:
    if message.value is None:
        return None
    try:
        return decode_as(Experiment, message.value)
    except SchemaError as error:
        place = f"{message.topic}[{message.partition}] offset {message.offset}"
        logger.warning("%s holds no run: %s", place, error)
        RECORDS_TOTAL.labels("archiver", EXPERIMENTS, "rejected").inc()
        return None


def _problems(target: Path) -> list[str] | None:
    """What is wrong with a dataset; None where there is none at all."""
    if not target.exists():
        return None
    try:
        return verify(target)
    except InvalidInput as error:
        return [str(error)]


def _free(target: Path) -> Path:
    """A name beside `target` that is not taken."""
    number = 1
    while (aside := target.with_name(f"{target.name}.unverified-{number}")).exists():
        number += 1
    return aside
