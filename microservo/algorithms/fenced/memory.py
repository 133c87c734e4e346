"""What was learned, as bytes. They are made and read inside the fence only: to read a pickle is to run it."""

from __future__ import annotations

import pickle
from typing import Any

from .objects import Refused

_FORMAT = 1


def dumps(learned: Any) -> bytes:
    """The bytes of what was learned.

    Raises:
        Refused: the algorithm holds something that can't be put away, as an open file.
    """
    try:
        return pickle.dumps((_FORMAT, learned), protocol=5)
    except Exception as error:  # whatever a plug-in's object raises when it is pickled
        msg = (
            f"what was learned can't be put away ({type(error).__name__}: {error}); "
            "give the object `snapshot` and `restore`"
        )
        raise Refused(msg) from error


def loads(data: bytes) -> Any:
    """What `dumps` was given.

    Raises:
        Refused: these bytes are of another version of the plug-in, its libraries or this program.
    """
    try:
        version, learned = pickle.loads(data)  # noqa: S301 - inside the fence, as the plug-in's own code
    except Exception as error:  # an unknown class, a changed one, a truncated file
        msg = f"not a memory of this algorithm ({type(error).__name__}: {error}); learn afresh"
        raise Refused(msg) from error
    if version != _FORMAT:
        msg = f"a memory of format {version!r}; expected {_FORMAT}; learn afresh"
        raise Refused(msg)
    return learned
