"""Free ports on the loopback interface."""

from __future__ import annotations

import contextlib
import socket


def free_ports(n: int) -> list[int]:
    """`n` different ports of 127.0.0.1 on which nothing listened a moment ago.

    They are not reserved: another process may take one first, so whoever listens must report failure.
    """
    with contextlib.ExitStack() as stack:
        # All are held open until the last is bound, or the system could hand out one twice.
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
