"""The content hash: one number for what a dataset says, however and wherever it was built.

It covers the rows' canonical bytes and not the Parquet bytes, so it holds over machines, versions of
libraries, partition counts and offsets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

ROWS_PER_BLOCK = 65_536
"""Rows that are hashed (and stored as one row group) together; part of the definition of the hash."""
_WINDOWS_PER_BLOCK = 1024
_WITH_FEATURES = ("windows.parquet", "window_revisions.parquet")


def rows_per_block(name: str) -> int:
    """How many rows of a file are hashed and stored together: fewer of windows, with their many features."""
    return _WINDOWS_PER_BLOCK if name in _WITH_FEATURES else ROWS_PER_BLOCK


class Part(NamedTuple):
    """Canonical bytes of one column of a block.

    Attributes:
        path: name of the column, with its children behind dots, for example `feature_names.item`.
        kind: what the bytes are, for example `int64` or `text`.
        data: numbers little-endian; texts as UTF-8 behind their lengths.
    """

    path: str
    kind: str
    data: bytes | memoryview


class ContentHash:
    """SHA-256 over the canonical bytes of a file's rows, block by block.

    Every block but the last holds `rows_per_block` rows. All parts are framed with their lengths, so no two
    different contents run into the same bytes.
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.rows = 0

    def add_block(self, rows: int, parts: Iterable[Part]) -> None:
        """Adds the next `rows` rows."""
        self.rows += rows
        self._sha.update(b"block %d\n" % rows)
        for path, kind, data in parts:
            self._sha.update(b"%s %s %d\n" % (path.encode(), kind.encode(), len(data)))
            self._sha.update(data)

    def hexdigest(self) -> str:
        return self._sha.hexdigest()


def dataset_hash(contents: Mapping[str, str]) -> str:
    """The content hash of a dataset from the content hash of each of its files, by name.

    >>> dataset_hash({"a": "00"}) == dataset_hash({"a": "01"})
    False
    """
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(contents.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
