"""Small JSON files of others, read whole: a large one is refused before it fills the memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from microservo.errors import InvalidInput

LARGEST_BYTES = 64 << 20
"""As objects it takes ten to twenty times as much memory."""


def read_json(path: Path, name: str) -> Any:
    """What a file holds.

    Args:
        path: the file.
        name: what errors call it.

    Raises:
        InvalidInput: it can't be read, is no JSON in UTF-8, or too large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
        if len(raw) > LARGEST_BYTES:
            msg = (
                f"{name}, row 1: the file is larger than {LARGEST_BYTES} bytes; put only what is needed in it"
            )
            raise InvalidInput(msg)
        return json.loads(raw.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        msg = f"{name}, row {error.lineno}: no JSON: {error.msg} at character {error.colno}; was it cut?"
        raise InvalidInput(msg) from error
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        msg = f"{name}, row {row}: byte {error.start} of the file is no UTF-8; convert the file"
        raise InvalidInput(msg) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)[:200]
        msg = f"{name} can't be read: {reason}"
        raise InvalidInput(msg) from error
