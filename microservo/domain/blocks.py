"""What a window keeps of a message until its cut: columns of bytes, as they came.

Nothing is computed per record here. Telemetry comes in many small messages, and a step over the columns of
one costs as much as the same step over all rows of a window.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from microservo.domain.dictionary import Dictionary, Numbers
from microservo.domain.telemetry import LAYOUTS, SIGNALS, Batch, Int64, Signal

_LEFT_OUT: dict[Signal, frozenset[str]] = {
    "metrics": frozenset(),
    "logs": frozenset({"instance", "trace_id", "span_id"}),
    "traces": frozenset({"instance", "parent_id"}),
}
"""Columns that nothing in a window depends on."""


def _kept(signal: Signal) -> dict[str, np.dtype[Any]]:
    return {
        # Ids of eight bytes are compared, which NumPy does best with numbers.
        name: np.dtype("<u8") if dtype == "V8" else dtype
        for name, dtype in LAYOUTS[signal].numbers.items()
        if name not in _LEFT_OUT[signal]
    }


COLUMNS: dict[Signal, dict[str, np.dtype[Any]]] = {signal: _kept(signal) for signal in SIGNALS}
"""The columns of a block and the numbers in them."""
_INDEXES = {
    signal: {name: field for name, field in LAYOUTS[signal].indexes.items() if name in COLUMNS[signal]}
    for signal in SIGNALS
}
"""Those of them that point into texts, and the field of the texts."""
_WIDTHS = {signal: [dtype.itemsize for dtype in COLUMNS[signal].values()] for signal in SIGNALS}
_MANY_BLOCKS = 8
_SMALL_BYTES = 1024
"""Of the column of times: 128 rows."""


class Block(NamedTuple):
    """Rows of one message that belong to one window.

    Attributes:
        columns: bytes of each column, in the order of `COLUMNS`; none of one that is all zeros.
        texts: what each column that points into texts points into, as numbers of the windower's dictionary.
        kind: what sends it.
    """

    columns: tuple[bytes, ...]
    texts: tuple[Numbers, ...]
    kind: str


class _Getters(NamedTuple):
    """What takes the columns and the texts of a batch out of it."""

    columns: Callable[[Batch], tuple[bytes, ...]]
    texts: Callable[[Batch], tuple[tuple[str, ...], ...]]


def _getters(signal: Signal) -> _Getters:
    fields = tuple(_INDEXES[signal].values())

    def texts(batch: Batch) -> tuple[tuple[str, ...], ...]:
        return tuple([getattr(batch, field) for field in fields])

    return _Getters(attrgetter(*COLUMNS[signal]), texts)


_GETTERS = {layout.batch: _getters(signal) for signal, layout in LAYOUTS.items()}


def block_of(batch: Batch, dictionary: Dictionary) -> Block:
    """All rows of a checked batch."""
    columns_of, texts_of = _GETTERS[type(batch)]
    texts = tuple([dictionary.numbers(texts) for texts in texts_of(batch)])
    return Block(columns_of(batch), texts, batch.source_kind)


def split(signal: Signal, block: Block, times_us: Int64, size_us: int) -> Iterator[tuple[int, int, Block]]:
    """The rows of a block by the window they fall into: its start, how many, and they.

    Args:
        signal: what the block is of.
        block: rows of any windows.
        times_us: their event times, shape (rows,).
        size_us: length of a window.
    """
    starts = times_us - times_us % size_us
    changes = (starts[1:] != starts[:-1]).nonzero()[0] + 1
    edges = [0, *changes.tolist(), len(starts)]
    firsts = starts[edges[:-1]].tolist()
    if firsts != sorted(firsts):
        order = np.argsort(times_us, kind="stable")
        yield from split(signal, _reordered(signal, block, order), times_us[order], size_us)
        return
    widths = _WIDTHS[signal]
    for start, (begin, end) in zip(firsts, itertools.pairwise(edges), strict=True):
        parts = [
            column[begin * width : end * width] for column, width in zip(block.columns, widths, strict=True)
        ]
        yield start, end - begin, Block(tuple(parts), block.texts, block.kind)


def keep(blocks: list[Block], block: Block) -> None:
    """Adds a block. Where many have come, small ones that point into the same texts become one.

    A block of one row takes ten times the memory of the row.
    """
    blocks.append(block)
    count = len(blocks)
    # At powers of two only, so that blocks which can't be put together are not looked at again and again.
    if count >= _MANY_BLOCKS and count & (count - 1) == 0:
        blocks[:] = _merged(blocks)


class Columns:
    """The columns of all rows of some windows, by name, each put together when it is first asked for.

    Column ``window`` is the place of the row's window among those given.

    Args:
        signal: what the blocks are of.
        windows: blocks of each window; there is at least one block.
    """

    def __init__(self, signal: Signal, windows: Sequence[Sequence[Block]]) -> None:
        blocks = list(itertools.chain.from_iterable(windows))
        columns = zip(*[block.columns for block in blocks], strict=True)
        texts = list(zip(*[block.texts for block in blocks], strict=True))
        self.names = ("window", *COLUMNS[signal])
        self._types = COLUMNS[signal]
        self._columns = dict(zip(self._types, columns, strict=True))
        self._texts = dict(zip(_INDEXES[signal], texts, strict=True))
        self._rows = [len(block.columns[0]) // 8 for block in blocks]
        self._count = sum(self._rows)
        of_window = np.repeat(np.arange(len(windows)), list(map(len, windows)))
        self._joined: dict[str, NDArray[Any]] = {"window": np.repeat(of_window, self._rows)}

    def is_left_out(self, name: str) -> bool:
        """Whether no block has a column, so that it is all zeros."""
        return not any(self._columns[name])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column, shape (rows,); of one that points into texts, their numbers."""
        found = self._joined.get(name)
        if found is None:
            found = np.frombuffer(self._bytes(name), self._types[name])
            if name in self._texts:
                found = _numbers(found, self._texts[name], self._rows)
            self._joined[name] = found
        return found

    def _bytes(self, name: str) -> bytes:
        """A column of all blocks, with zeros where one leaves it out."""
        width, parts = self._types[name].itemsize, self._columns[name]
        joined = b"".join(parts)
        if not joined:
            return bytes(width * self._count)
        if len(joined) < width * self._count:
            rows = zip(parts, self._rows, strict=True)
            joined = b"".join([part or bytes(width * count) for part, count in rows])
        return joined


def _numbers(index: NDArray[np.uint16], texts: Sequence[Numbers], rows: Sequence[int]) -> Numbers:
    """What indexes point at, where those of each block (of so many rows) point into texts of its own."""
    if len(set(map(id, texts))) == 1:
        return texts[0].take(index)
    offsets = np.repeat(np.cumsum([0, *map(len, texts[:-1])]), rows)
    numbers: Numbers = np.concatenate(texts).take(index + offsets)
    return numbers


def _merged(blocks: Sequence[Block]) -> list[Block]:
    def likeness(block: Block) -> tuple[Any, ...]:
        return (block.kind, *map(id, block.texts), *map(bool, block.columns))

    merged = [block for block in blocks if len(block.columns[0]) >= _SMALL_BYTES]
    small = [block for block in blocks if len(block.columns[0]) < _SMALL_BYTES]
    for _, alike in itertools.groupby(sorted(small, key=likeness), likeness):
        parts = list(alike)
        columns = zip(*[block.columns for block in parts], strict=True)
        merged.append(Block(tuple(map(b"".join, columns)), parts[0].texts, parts[0].kind))
    return merged


def _reordered(signal: Signal, block: Block, order: NDArray[np.intp]) -> Block:
    columns = [
        np.frombuffer(each, dtype)[order].tobytes() if each else each
        for each, dtype in zip(block.columns, COLUMNS[signal].values(), strict=True)
    ]
    return Block(tuple(columns), block.texts, block.kind)
