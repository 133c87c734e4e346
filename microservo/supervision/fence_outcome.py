"""How a fenced process ended, in words."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from microservo.supervision.fence_limits import Limits
from microservo.supervision.process import tail

_SIGNALLED = 128
"""bwrap adds it to the number of the signal that ended its child, as shells do."""

KilledFor = Literal["memory", "cpu", "output", "files", "asked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a fenced process ended.

    Args:
        reason: in words, for people.
        exit_code: of the command; negative is the signal that ended it.
        killed_for: what the host killed it for; None where it ended otherwise.
        cpu_s: that all its processes used.
        peak_memory_bytes: resident, of all its processes, as looked at ten times a second.
        output_bytes: that it wrote to stderr.
    """

    reason: str
    exit_code: int
    killed_for: KilledFor | None
    cpu_s: float
    peak_memory_bytes: int
    output_bytes: int


def exit_code_of(code: int) -> int:
    """What bwrap or `subprocess` gives as the end, with a signal as a negative number."""
    return _SIGNALLED - code if code > _SIGNALLED else code


def end_in_words(code: int, limits: Limits, log: Path) -> str:
    """The reason of an end that its host did not cause."""
    if code == -signal.SIGXCPU:
        return f"used {limits.cpu_seconds} s of CPU, all that it may"
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), by itself or by the machine, which may be out of memory"
    how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    return f"{how}; its log ends with:\n{tail(log)}" if code else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
