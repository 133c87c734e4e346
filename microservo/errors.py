"""The errors MicroServo raises.

::

    MicroServoError
    ├── InvalidInput      a person or program asked for something that can't be: refused, nothing touched
    ├── InvalidMessage    a record on a topic can't be read: to the dead-letter topic, then on
    ├── Unavailable       something needed is not there; the message says how to get it
    ├── AlgorithmFailed   a plug-in did what it must not; the message says what, and the platform goes on
    │   ├── AlgorithmRefused  it can't be run as it is declared
    │   ├── BadAnswer         it answered with what is no answer, so nothing that it says counts
    │   ├── DeadlineExceeded  it did not answer in time
    │   └── AlgorithmEnded    its process ended
    ├── Retryable         try again later; the offset is kept
    └── Fatal             the process must stop, so that a restart can mend it
        └── OffsetGap     messages are missing from a partition
"""

from __future__ import annotations


class MicroServoError(Exception):
    """The base of every error raised on purpose."""


class InvalidInput(MicroServoError):
    """A request was refused before anything was touched."""


class InvalidMessage(MicroServoError):
    """A message can't be read; it belongs on the dead-letter topic with its bytes and this reason."""


class Unavailable(MicroServoError):
    """A thing that is needed is missing; the message says what adds it."""


class AlgorithmFailed(MicroServoError):
    """A plug-in raised an error. Its process can be asked again, unlike after the errors below.

    Args:
        message: what happened, in one sentence.
        details: what its author needs besides, as a traceback.
    """

    def __init__(self, message: str, details: str = "") -> None:
        self.details = details
        super().__init__(message)

    def __reduce__(self) -> tuple[type[AlgorithmFailed], tuple[str, str]]:
        return type(self), (str(self), self.details)


class AlgorithmRefused(AlgorithmFailed):
    """A plug-in can't be run as it is declared; the message says what would do."""


class BadAnswer(AlgorithmFailed):
    """A plug-in's process gave something that is no answer; kill it and start another one."""


class DeadlineExceeded(AlgorithmFailed):
    """A plug-in did not answer in time; kill its process and start another one."""


class AlgorithmEnded(AlgorithmFailed):
    """The process of a plug-in ended; start another one."""


class Retryable(MicroServoError):
    """An attempt failed for now; the same attempt may succeed later."""


class Fatal(MicroServoError):
    """The process can't go on without risking lost or wrong records; it stops instead."""


class OffsetGap(Fatal):
    """Messages are missing between two offsets of a partition."""

    def __init__(self, topic: str, partition: int, expected: int, got: int) -> None:
        self._place = (topic, partition, expected, got)
        super().__init__(
            f"{topic}[{partition}]: expected offset {expected}, got {got}; a restart re-reads them"
        )

    def __reduce__(self) -> tuple[type[OffsetGap], tuple[str, int, int, int]]:
        return type(self), self._place
