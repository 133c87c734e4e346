"""One recorded stream on 1, 3 and 12 partitions: live and rebuilt, the very same windows."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from recorded_run import end_offsets, finish_run
from stream_processor import Pipeline, expected
from synthetic import Story, messages

from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.testing import eventually

pytestmark = pytest.mark.integration

STORY = Story(seconds=30)
BATCHES = {1: 100, 3: 7, 12: 20}
"""By number of partitions: how many records a message holds at most."""


def test_the_number_of_partitions_and_the_packing_change_no_byte_of_a_window(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    truth = expected(STORY, 1)
    runs = [
        _Run(kafka_broker, topic_prefix, tmp_path, partitions=partitions, batch=batch)
        for partitions, batch in BATCHES.items()
    ]
    # All at once: most of the time a worker waits for its group.
    with ExitStack() as running:
        for run in runs:
            running.enter_context(run.pipeline.workers())
        for run in runs:
            eventually(
                partial(run.pipeline.has_more_than, len(truth) - 1),
                timeout_s=240,
                interval_s=0.5,
                what=f"every window from {run.partitions} partitions",
            )
    assert len(truth) > 40
    for run in runs:
        assert run.pipeline.windows() == truth, run.partitions
    assert len({run.rebuilt() for run in runs}) == 1


class _Run:
    """The story on so many partitions, packed into batches of its own."""

    def __init__(
        self, broker: KafkaBroker, prefix: str, folder: Path, *, partitions: int, batch: int
    ) -> None:
        self.partitions = partitions
        self._broker = broker
        self._prefix = f"{prefix}{partitions}-"
        self._folder = folder / str(partitions)
        self._folder.mkdir()
        self._story = replace(STORY, batch=batch)
        self.pipeline = Pipeline(broker, self._prefix, self._folder, partitions=partitions)
        self._starts = end_offsets(broker, self._prefix)
        self.pipeline.begin(self._story)
        self.pipeline.send(messages(self._story, partitions=partitions))

    def rebuilt(self) -> str:
        """The hash of all windows in the dataset of the run, which equals what was written live."""
        finish_run(self._broker, self._story, self._starts, prefix=self._prefix)
        dataset = self._folder / "dataset"
        manifest = rebuild(
            self._broker, run_id=self._story.run_id, out_dir=dataset, topic_prefix=self._prefix
        )
        assert verify(dataset) == []
        assert verify_against_live(dataset, self._broker, self._prefix) == []
        names = ("windows", "window_revisions", "labels", "effects", "actions")
        return " ".join(
            entry.content_sha256 for entry in manifest.files if entry.name.removesuffix(".parquet") in names
        )
