"""What the host uses, read through psutil."""

from __future__ import annotations

from collections.abc import Callable

import psutil


class HostMeter:
    """Reads the host; rates are over the time since the reading before."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._network: tuple[float, int, int] | None = None
        psutil.cpu_percent()  # the first call has nothing to compare with and gives 0

    def read(self) -> dict[str, float]:
        """`system.cpu.utilization` (0 to 1), `system.memory.usage` (bytes), load, network bytes a second."""
        return {
            "system.cpu.utilization": psutil.cpu_percent() / 100,
            "system.memory.usage": float(psutil.virtual_memory().used),
            "system.cpu.load_average.1m": psutil.getloadavg()[0],
            **self._network_rates(),
        }

    def _network_rates(self) -> dict[str, float]:
        counters = psutil.net_io_counters()
        now = (self._clock_s(), counters.bytes_recv, counters.bytes_sent)
        before, self._network = self._network, now
        if before is None or now[0] <= before[0]:
            return {}
        names = ("system.network.receive_rate", "system.network.transmit_rate")
        return {
            name: max(0, late - early) / (now[0] - before[0])
            for name, early, late in zip(names, before[1:], now[1:], strict=True)
        }
