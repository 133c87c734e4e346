"""Texts as JSON strings, a column at a time."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_SHORT = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_CONTROLS = [chr(code) for code in range(32) if chr(code) not in _SHORT]


def json_strings(texts: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Each text with what JSON escapes, without the quotes around it; null stays null."""
    for plain, escaped in _SHORT.items():
        texts = pc.replace_substring(texts, plain, escaped)
    # They are rare, and each would cost a look at every text.
    if pc.any(pc.match_substring_regex(texts, r"[\x00-\x1f]")).as_py():
        for plain in _CONTROLS:
            texts = pc.replace_substring(texts, plain, f"\\u{ord(plain):04x}")
    return texts
