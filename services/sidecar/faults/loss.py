"""network-loss: a share of the segments that leave the instance is lost, and sent again by TCP."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import ClassVar, Self

from services.sidecar.faults.base import Effect, Parameters, segment_fault

# Linux: TCP_RTO_MIN (include/net/tcp.h); doubled each time, RFC 6298 section 5.5.
FIRST_TIMEOUT_S = 0.2
MAX_LOSSES = 6


@segment_fault
class NetworkLoss:
    """What a lost segment means to its receiver: it comes one retransmission timeout later.

    A user-space proxy can't lose a packet of another's TCP connection; it can do to the stream what
    TCP makes of a loss. A segment that is lost n times in a row comes 0.2 s x (2^n - 1) late and
    everything behind it waits (TCP keeps order); after six losses (12.6 s) the connection is reset. Three
    things differ from real loss: there is no fast retransmission (in a long burst a real sender may
    recover within a round trip, so bulk transfers suffer more here), handshakes and acknowledgements are
    never lost, and when the fault ends, what is waiting is sent at once rather than at its next timeout.
    """

    kind: ClassVar[str] = "network-loss"

    def __init__(self, *, ratio: float, chance: random.Random) -> None:
        self._ratio = ratio
        self._chance = chance

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, object], chance: random.Random) -> Self:
        read = Parameters(cls.kind, parameters)
        ratio = read.ratio()
        read.peer()
        read.finish()
        return cls(ratio=ratio, chance=chance)

    def on_segment(self, size_bytes: int, now_s: float) -> Effect | None:
        losses = 0
        while losses < MAX_LOSSES and self._chance.random() < self._ratio:
            losses += 1
        if not losses:
            return None
        return Effect(hold_s=FIRST_TIMEOUT_S * (2**losses - 1), reset=losses == MAX_LOSSES)
