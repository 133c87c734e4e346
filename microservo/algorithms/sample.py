"""The sample that is shipped: a recorded run with 100 faults of 50 kinds, to try an algorithm on offline.

::

    sample/windows.parquet   what algorithms read: first revisions, by instant and service
    sample/graph.parquet     who called whom, since when
    sample/truth.parquet     what each window was: anomalous, normal or masked
    sample/effects.parquet   which fault was seen at which service, since when and until when
    sample/sample.json       of which run it is: seed, machine, load, versions

Truth and effects lie apart, and nothing of them goes to an algorithm. `python -m benchmarks.sample` records
it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from microservo.domain.scoring import Incident
from microservo.errors import InvalidInput
from schemas.records import FeatureWindow, Truth

SAMPLE = Path(__file__).with_name("sample")
RUN_ID = "sample"

_WINDOWS = pa.schema(
    [
        ("service", pa.string()),
        ("service_kind", pa.string()),
        ("start_us", pa.int64()),
        ("end_us", pa.int64()),
        ("names", pa.list_(pa.string())),
        ("values", pa.list_(pa.float64())),
    ]
)
_TRUTH = pa.schema([("service", pa.string()), ("start_us", pa.int64()), ("truth", pa.string())])
_GRAPH = pa.schema([("caller", pa.string()), ("callee", pa.string()), ("since_us", pa.int64())])
_EFFECTS = pa.schema(
    [
        ("fault_id", pa.string()),
        ("kind", pa.string()),
        ("root_service", pa.string()),
        ("service", pa.string()),
        ("severity", pa.float64()),
        ("start_us", pa.int64()),
        ("end_us", pa.int64()),
        ("applied_us", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A fault at a service where it was seen; instants in microseconds UTC."""

    fault_id: str
    kind: str
    root_service: str
    service: str
    severity: float
    start_us: int
    end_us: int
    applied_us: int

    def incident(self) -> Incident:
        """What a detector should have found."""
        return Incident(
            fault_id=self.fault_id,
            kind=self.kind,
            service=self.service,
            severity=self.severity,
            start_us=self.start_us,
            end_us=self.end_us,
            applied_us=self.applied_us,
            effect_us=self.start_us,
        )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A recorded run.

    Attributes:
        about: the run: seed, machine, load, versions; `fault_free_until_us`, `first_cut_us` and
            `window_us` among them.
        windows: first revisions, in order of time.
        edges: caller, callee, and since when, in microseconds UTC.
        truth: of each window, by service and start.
        effects: of faults, by service.
    """

    about: Mapping[str, Any]
    windows: Sequence[FeatureWindow]
    edges: Sequence[tuple[str, str, int]]
    truth: Mapping[tuple[str, int], Truth]
    effects: Sequence[Effect]

    @classmethod
    def read(cls, folder: Path = SAMPLE) -> Sample:
        """The sample in a folder.

        Raises:
            InvalidInput: there is none.
        """
        try:
            about = json.loads((folder / "sample.json").read_text("utf-8"))
            rows = {name: _rows(folder / f"{name}.parquet") for name in _SCHEMAS}
        except (OSError, ValueError) as error:
            msg = f"no sample can be read in {folder} ({error}); `python -m benchmarks.sample` records one"
            raise InvalidInput(msg) from error
        return cls(
            about=about,
            windows=[_window(row) for row in rows["windows"]],
            edges=[(row["caller"], row["callee"], row["since_us"]) for row in rows["graph"]],
            truth={(row["service"], row["start_us"]): row["truth"] for row in rows["truth"]},
            effects=[Effect(**row) for row in rows["effects"]],
        )

    def write(self, folder: Path) -> int:
        """Writes the sample into a folder, and returns how many bytes it takes."""
        folder.mkdir(parents=True, exist_ok=True)
        rows: dict[str, Iterable[Mapping[str, Any]]] = {
            "windows": [{name: getattr(each, name) for name in _WINDOWS.names} for each in self.windows],
            "graph": [dict(zip(_GRAPH.names, edge, strict=True)) for edge in self.edges],
            "truth": [
                {"service": service, "start_us": start_us, "truth": truth}
                for (service, start_us), truth in self.truth.items()
            ],
            "effects": [{name: getattr(each, name) for name in _EFFECTS.names} for each in self.effects],
        }
        for name, schema in _SCHEMAS.items():
            table = pa.Table.from_pylist(list(rows[name]), schema=schema)
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd", compression_level=15)
        (folder / "sample.json").write_text(json.dumps(self.about, indent=2) + "\n", "utf-8")
        return sum(path.stat().st_size for path in folder.iterdir())

    @cached_property
    def fault_free_until_us(self) -> int:
        """Nothing was injected until then; microseconds UTC."""
        return int(self.about["fault_free_until_us"])

    @property
    def first_cut_us(self) -> int:
        """So long after its end a window was there: what is under way is waited for; microseconds."""
        return int(self.about["first_cut_us"])

    @property
    def window_us(self) -> int:
        """Length of a window in microseconds."""
        return int(self.about["window_us"])


_SCHEMAS = {"windows": _WINDOWS, "graph": _GRAPH, "truth": _TRUTH, "effects": _EFFECTS}


def _rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]


def _window(row: Mapping[str, Any]) -> FeatureWindow:
    return FeatureWindow(
        run_id=RUN_ID,
        service=row["service"],
        start_us=row["start_us"],
        end_us=row["end_us"],
        revision=0,
        names=tuple(row["names"]),
        values=tuple(row["values"]),
        service_kind=row["service_kind"],
    )
