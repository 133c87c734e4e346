"""What the host uses."""

from __future__ import annotations

from microservo.sources.host.host_meter import HostMeter

MIB = 1024 * 1024


def test_the_host_has_rates_from_the_second_reading() -> None:
    times = iter([0.0, 1.0])
    meter = HostMeter(lambda: next(times))
    first, second = meter.read(), meter.read()
    assert "system.network.receive_rate" not in first
    assert second["system.network.receive_rate"] >= 0
    assert second["system.memory.usage"] > MIB
