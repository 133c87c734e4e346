"""The time that a run declared as free of faults ends when one comes into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from microservo.adapters.broker import Broker
from microservo.log.run_records import update_run
from schemas.records import Experiment


class FaultFreeTime:
    """Keeps the record of a run true: thresholds of algorithms are found in what it says is fault-free.

    Args:
        broker: where the run is.
        run_id: the run; empty for none.
        clock: epoch microseconds UTC.
        topic_prefix: put before every topic name.
    """

    def __init__(
        self, broker: Broker, *, run_id: str, clock: Callable[[], int], topic_prefix: str = ""
    ) -> None:
        self._broker = broker
        self._run_id = run_id
        self._clock = clock
        self._prefix = topic_prefix
        self._ends_us: float = inf if run_id else 0

    def is_over(self, at_us: int) -> bool:
        """Whether it is known to end before that instant, so that nothing is to be written."""
        return at_us >= self._ends_us

    def end(self, at_us: int) -> None:
        """Writes into the run's record that a fault begins then, unless it is known to end before.

        Raises:
            Retryable: the broker is away for now; call it again.
        """
        if self.is_over(at_us):
            return

        def earlier(run: Experiment) -> Experiment:
            known_us = run.fault_free_until_us
            return run if known_us is None else replace(run, fault_free_until_us=min(known_us, at_us))

        run = update_run(
            self._broker,
            self._run_id,
            earlier,
            process="fault_injector",
            clock=self._clock,
            topic_prefix=self._prefix,
        )
        # Where nobody declared any, there is none to end.
        self._ends_us = (run.fault_free_until_us if run else None) or 0
