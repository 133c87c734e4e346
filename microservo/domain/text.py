"""Text from outside, made safe for a person to look at: on a terminal, on a page, in a file."""

from __future__ import annotations

import re

# C0 and C1 controls with line breaks, ESC, BEL and DEL; zero-width and invisible characters (but not the two
# joiners, which scripts and emoji need); marks, embeddings, overrides and isolates of direction; separators
# of lines and paragraphs; tags; halves of surrogate pairs, which can't be encoded.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""The text in one line, with what would control a terminal or can't be seen written as an escape.

    Example:
        >>> printable("a\x1b[2J\r\nb")
        'a\\x1b[2J\\r\\nb'
    """
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
