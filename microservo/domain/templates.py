"""Log templates: the constant part of a line, its variable parts masked.

Stateless, so the same line always has the same template, whoever saw which lines before.
"""

from __future__ import annotations

import re
from functools import lru_cache

MASK = "<*>"
MAX_TEMPLATE_CHARS = 120
_HEAD_CHARS = 1024
"""A template needs no more of a line than this; the rest is not looked at."""

# One mask for every kind of value, since one place of a message holds now digits only, now hex, now a name
# with a digit; a mask per kind would tear its lines into several templates.
_VARIABLE = re.compile(
    r"""
      (?<!\w) " [^"\n]* " (?!\w)      # quoted text; an apostrophe inside a word is none
    | (?<!\w) ' [^'\n]* ' (?!\w)
    | \b [A-Za-z][A-Za-z0-9+.\-]{0,15} :// [^\s'"<>]+         # URL
    | (?<![\w/.]) \.{0,2} / [\w.\-~%+@]+ (?: / [\w.\-~%+@]* )* # path
    | \b [0-9a-fA-F]{8} (?: - [0-9a-fA-F]{4} ){3} - [0-9a-fA-F]{12} \b                  # UUID
    | (?<![\w:]) (?: [0-9a-fA-F]{0,4} : ){2,7} [0-9a-fA-F]{1,4} (?![\w:])               # IPv6, clock time
    # A word with a digit: number, hex, address, time. It starts at the word's start only, or a long word
    # without a digit would be walked from each of its letters.
    | (?: (?<!\w) [+\-] )? (?<!\w) [^\W\d]* \d \w* (?: [.:,+\-]{1,2} [^\W\d]* \d \w* )*
    """,
    re.VERBOSE,
)


def template_of(body: str) -> str:
    """The template of a log line: its first line with variable parts as `<*>`, at most 120 characters.

    Masked are numbers, hexadecimal ids, UUIDs, addresses, quoted text, URLs, paths, words that hold a digit.

    Example:
        >>> template_of("GetCart served in 12.5 ms for user 'ann' from 10.0.0.7:4211")
        'GetCart served in <*> ms for user <*> from <*>'
    """
    return _masked(body[:_HEAD_CHARS])


# Heads, not bodies, are the keys, so the cache stays within some megabytes.
@lru_cache(maxsize=4096)
def _masked(head: str) -> str:
    first_line = head.strip().partition("\n")[0]
    if '"' in first_line or "'" in first_line:
        return " ".join(_VARIABLE.sub(MASK, first_line).split())[:MAX_TEMPLATE_CHARS]
    # Nothing but quoted text goes beyond a word, and most words are plain ones: five times as fast.
    words = [
        word if word.isalpha() else MASK if word.isdecimal() else _VARIABLE.sub(MASK, word)
        for word in first_line.split()
    ]
    return " ".join(words)[:MAX_TEMPLATE_CHARS]
