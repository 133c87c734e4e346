from __future__ import annotations

from microservo.runtime.pulse import Pulse


def test_a_loop_that_goes_round_has_a_pulse() -> None:
    pulse = Pulse(longest_round_s=60)
    pulse.beat()
    assert pulse.is_alive()


def test_a_loop_that_hangs_has_none() -> None:
    assert not Pulse(longest_round_s=0).is_alive()
