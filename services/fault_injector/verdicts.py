"""The observer's verdicts, told as later versions of the faults they are about."""

from __future__ import annotations

from microservo.domain.effects import EffectObserver, Judgement
from schemas.records import FeatureWindow
from services.fault_injector.casebook import Casebook
from services.fault_injector.open_fault import OpenFault


class Verdicts:
    """Shows faults to the observer, and its judgements to the casebook."""

    def __init__(self, casebook: Casebook) -> None:
        self._casebook = casebook
        self._observer = EffectObserver()

    def read(self, window: FeatureWindow) -> None:
        """Takes in what the telemetry looked like."""
        self._observer.read(window)

    def watch(self, fault: OpenFault) -> None:
        """Begins to watch a fault that is in force."""
        applied_us = fault.story.times()["applied_at_us"]
        if applied_us is not None:
            self._observer.watch(
                fault.id,
                target=fault.story.whole.service,
                expectations=fault.fault.expectations(),
                applied_at_us=applied_us,
            )

    def over(self, fault: OpenFault) -> None:
        """Takes note that a fault is over; one that never was in force has no effect to wait for."""
        times = fault.story.times()
        if times["applied_at_us"] is None or times["recovered_at_us"] is None:
            self._casebook.close(fault)
        else:
            self._observer.recovered(fault.id, times["recovered_at_us"])

    def tell(self, now_us: int) -> None:
        """Tells every judgement that is news."""
        for judgement in self._observer.judge(now_us):
            fault = self._casebook.open.get(judgement.fault_id)
            if fault is not None:
                self._tell(fault, judgement, now_us)

    def _tell(self, fault: OpenFault, judgement: Judgement, now_us: int) -> None:
        events = list(fault.judged(judgement, now_us))
        if events:
            self._casebook.set_story(fault.story)
            self._casebook.tell(fault, events)
        if judgement.is_final:
            self._casebook.close(fault)
