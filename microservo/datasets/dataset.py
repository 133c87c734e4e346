"""`microservo.Dataset`: a dataset on disk for programs that analyse it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from microservo.datasets.contents import contents_of
from microservo.datasets.draft import draft, writing
from microservo.datasets.feature_table import FEATURES, KEYS
from microservo.datasets.lazy_rows import Part, Rows
from microservo.datasets.service_table import SERVICES
from microservo.datasets.sides import Sides, sides_of
from microservo.datasets.tables import TABLES
from microservo.domain.datasets.manifest import Manifest
from microservo.errors import InvalidInput

BY_FAULT = "by-fault"


class Split(NamedTuple):
    """Two sides of a dataset that share no fault; rows as of `Dataset.windows`."""

    train: Rows
    test: Rows

    def write(self, folder: Path) -> dict[str, int]:
        """Writes `train.parquet` and `test.parquet` into a new folder; how many windows each has.

        Raises:
            InvalidInput: the folder holds something, or can't be made.
            Unavailable: there is no room.
        """
        counts = {}
        with draft(folder) as (place, _), writing(folder):
            for name, rows in zip(self._fields, self, strict=True):
                counts[name] = 0
                with pq.ParquetWriter(place / f"{name}.parquet", rows.schema, compression="zstd") as out:
                    for batch in rows.reader():
                        out.write_batch(batch)
                        counts[name] += batch.num_rows
        return counts


class Dataset:
    """The dataset in a folder. Nothing is read before it is asked for.

    Example::

        dataset = Dataset("dataset")
        split = dataset.split("by-fault", warmup=30, cooldown=30)
        train = split.train.select("service", "truth", *dataset.features).to_pandas()
        errors = dataset.logs(service="cartservice").where(pyarrow.dataset.field("severity") >= 17)
        for batch in errors.reader():
            ...

    Args:
        folder: with its tables, as `microservo dataset rebuild` and `build` make it.

    Attributes:
        folder: where it is.
        manifests: what is known of each of its runs, by run id; mostly there is one.

    Raises:
        InvalidInput: the folder holds no dataset.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._contents = contents_of(self.folder)
        self.manifests = {each.run.run_id: each for each in self._contents.runs.values()}

    def __repr__(self) -> str:
        return f"Dataset({str(self.folder)!r})"

    @property
    def manifest(self) -> Manifest:
        """What is known of its run.

        Raises:
            InvalidInput: it is of several.
        """
        if self._contents.is_collection:
            msg = f"{self.folder} holds {len(self.manifests)} runs; `manifests` has what is known of each"
            raise InvalidInput(msg)
        return next(iter(self.manifests.values()))

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the features, sorted: the columns of `windows` that are no key."""
        return tuple(self.windows().schema.names[len(KEYS) + 1 :])

    def windows(self, service: str | None = None) -> Rows:
        """Final windows, by start and service: a row each, with a column for each feature.

        Columns: `run_id`, `service`, `service_kind`, `start`, `end` (instants, UTC), `truth` (anomalous,
        masked, normal), `role`, `fault_id`, `kind`, `phase` (null where no fault touches it), `split` (train,
        test, or null), and then `features`, float64, NaN where a window has none.

        Args:
            service: of one service alone.
        """
        return self._rows(FEATURES, service=service)

    def services(self) -> Rows:
        """Services: a row each, with when they were there, how often they were struck, whom they call."""
        return self._rows(SERVICES)

    def faults(self) -> Rows:
        """Faults: a row for each instance that one was meant for; times, parameters (JSON), verdict."""
        return self._rows("faults.parquet")

    def logs(self, service: str | None = None) -> Rows:
        """Lines of logs: `time`, `service`, `instance`, `template`, `severity`, `body`, ids of the trace.

        Args:
            service: of one service alone.
        """
        return self._rows("logs.parquet", service=service)

    def metrics(self, service: str | None = None, name: str | None = None) -> Rows:
        """Points of metrics: `time`, `service`, `instance`, `name`, `value`.

        Args:
            service: of one service alone.
            name: of one metric alone.
        """
        return self._rows("metrics.parquet", service=service, name=name)

    def spans(self, service: str | None = None) -> Rows:
        """Spans: `time` (their end), `start`, `duration_us`, `endpoint`, `peer`, `error`, ids.

        Args:
            service: of one service alone.
        """
        return self._rows("traces.parquet", service=service)

    def table(self, name: str) -> Rows:
        """Any table by its name, as `labels` or `effects`; of several runs, with a column `run_id`.

        Raises:
            InvalidInput: there is none of that name.
        """
        files = next(iter(self.manifests.values())).files
        tables = [each.name.removesuffix(".parquet") for each in files if each.rows is not None]
        if name not in tables:
            msg = f"{self.folder} has no table {name!r}; it has {', '.join(tables)}"
            raise InvalidInput(msg)
        return self._rows(f"{name}.parquet")

    def split(self, by: str = BY_FAULT, *, warmup: float = 0.0, cooldown: float = 0.0) -> Split:
        """Windows to learn from, and later ones for the test: no fault touches both sides.

        A run is cut between two faults, so that about seven of ten are in `train`. Windows near the cut
        that a fault of the other side still touches are on no side.

        Args:
            by: how it is split; there is "by-fault" alone.
            warmup: seconds after the start of each side that are left out: what is there depends on what was
                before.
            cooldown: seconds after each fault (when it was neither in force nor visible any more) that are
                left out.

        Raises:
            InvalidInput: there is no such split, or no instant parts the faults of a run in two.
        """
        if by != BY_FAULT:
            msg = f"no split is called {by!r}; there is {BY_FAULT!r}"
            raise InvalidInput(msg)
        if not (warmup >= 0 and cooldown >= 0):
            msg = f"warmup {warmup} and cooldown {cooldown} must be seconds, 0 or more"
            raise InvalidInput(msg)
        sides = {
            manifest.run.run_id: sides_of(place, manifest, warmup_us=_us(warmup), cooldown_us=_us(cooldown))
            for place, manifest in self._contents.runs.items()
        }
        return Split(*(self._side(sides, name) for name in Split._fields))

    def _side(self, sides: Mapping[str, Sides], name: str) -> Rows:
        needs = ("run_id", *Sides.columns)

        def keep(batch: pa.RecordBatch) -> NDArray[np.bool_]:
            runs = batch.column("run_id").to_pylist()
            masks = {run_id: sides[run_id].mask(batch, name) for run_id in sorted(set(runs))}
            return np.array([masks[run_id][row] for row, run_id in enumerate(runs)], np.bool_)

        return Rows(parts=[Part(path=self.folder / FEATURES, keep=keep, needs=needs)])

    def _rows(self, file: str, **equal: str | None) -> Rows:
        rows = Rows(parts=self._parts(file))
        for name, value in equal.items():
            if value is not None:
                rows = rows.where(ds.field(name) == value)
        return rows

    def _parts(self, file: str) -> Sequence[Part]:
        if not self._contents.is_collection or file in (FEATURES, SERVICES):
            return [Part(path=self.folder / file)]
        has_run = file not in TABLES or "run_id" in TABLES[file].names
        return [
            Part(path=place / file, run_id=None if has_run else manifest.run.run_id)
            for place, manifest in self._contents.runs.items()
        ]


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
