"""`runs.json`: a dataset of several runs, each whole in a folder of its own, with tables over all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from microservo.domain.datasets.content import dataset_hash
from microservo.domain.datasets.manifest import FileEntry
from microservo.domain.text import printable
from microservo.errors import InvalidInput

COLLECTION = "runs.json"
_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedRun:
    """A run of a dataset of several.

    Attributes:
        folder: where its dataset is, below that of all.
        content_hash: of its dataset.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    run_id: str
    folder: str
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """A dataset of several runs.

    Attributes:
        runs: in order of their ids.
        files: those over all runs, by name.
        content_hash: `collection_hash` of the runs.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    format_version: Literal[1] = 1
    runs: tuple[CollectedRun, ...]
    files: tuple[FileEntry, ...]
    content_hash: str

    def to_json(self) -> str:
        """The text of `runs.json`."""
        return _DOCUMENT.dump_json(self, indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str) -> Collection:
        """What a text says.

        Raises:
            InvalidInput: it is no such document.
        """
        try:
            return _DOCUMENT.validate_json(text)
        except ValidationError as error:
            msg = f"{COLLECTION} can't be read: {error.errors()[0]['msg']}; build the dataset again"
            raise InvalidInput(msg) from error


_DOCUMENT = TypeAdapter(Collection)


def collection_hash(runs: Sequence[CollectedRun]) -> str:
    """What a dataset of several runs says, from what each of them says."""
    return dataset_hash({run.run_id: run.content_hash for run in runs})


def collection_card(collection: Collection) -> str:
    """The text of `README.md`."""
    rows = {entry.name: entry.rows for entry in collection.files}
    configs = "\n".join(
        f"  - config_name: {name.removesuffix('.parquet')}\n"
        + "    default: true\n" * (name == "features.parquet")
        + f"    data_files:\n      - split: train\n        path: {name}"
        for name, count in sorted(rows.items())
        if count
    )
    runs = "\n".join(
        f"| {printable(run.run_id)} | `{run.folder}` | `{run.content_hash}` |" for run in collection.runs
    )
    tables = "\n".join(f"| `{name}` | {count} |" for name, count in sorted(rows.items()) if count is not None)
    return f"""---
language: [en]
pretty_name: {json.dumps(f"MicroServo, {len(collection.runs)} runs")}
tags: [aiops, anomaly-detection, root-cause-analysis, microservices, telemetry]
annotations_creators: [machine-generated]
source_datasets: [original]
configs:
{configs}
---

# {len(collection.runs)} runs of MicroServo

Each run is a whole dataset in a folder of its own, with a card that says what every column is. The tables
here are those of all runs, one after the other, told apart by `run_id`; a feature that a run lacks is NaN.
`split` parts each run for itself. `from microservo import Dataset` reads all of it, with `run_id` also where
the tables of the runs have none. Content hash `{collection.content_hash}`.

| run | folder | content hash |
|---|---|---|
{runs}

| file | rows |
|---|---|
{tables}

`experiment.json` holds the circumstances of every run.
"""
