"""The control: a score that knows nothing."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar

from microservo.domain.detectors.base import Features, Snapshot
from microservo.errors import InvalidInput

_RANGE = 2**53


class RandomControl:
    """A uniform score in [0, 1) drawn from the seed and the window alone.

    What it is: the control group. A metric that this one does well on measures nothing.

    When it fails: always, on purpose.

    The draw is a hash of seed and features rather than the next number of a generator: so a window that is
    scored twice, as after a restart, gets the same score, and there is nothing to remember.

    Cost: one hash of the features per window; about 0.1 ms for 100 features.

    Args:
        seed: another seed, another sequence of scores.

    Example:
        >>> RandomControl(seed=1).score_one({"load": 0.5}) == RandomControl(seed=1).score_one({"load": 0.5})
        True
    """

    is_control: ClassVar[bool] = True

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed

    def score_one(self, x: Features) -> float:
        text = json.dumps([self._seed, sorted(x.items())])
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) / _RANGE

    def learn_one(self, x: Features) -> None:
        del x  # nothing is ever learned

    def snapshot(self) -> Snapshot:
        return {"seed": self._seed}

    def restore(self, snapshot: Snapshot) -> None:
        try:
            self._seed = int(snapshot["seed"])
        except (KeyError, TypeError, ValueError) as error:
            msg = f"not a snapshot of random ({error!r}); expected 'seed'; start afresh"
            raise InvalidInput(msg) from error
