"""Carrying faults out: applied when due, confirmed, watched over, recovered, each step told before the next.

::

    Schedule ─► Action ─► (worker threads) ─► Outcome ─► Casebook ─► Journal
       ▲                                         │
       └────────── recovery, next effort ────────┘
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from microservo.domain.faults.lifecycle import WHOLE, AffectedService
from microservo.errors import Retryable
from services.fault_injector.actions import Action, Outcome, Workers
from services.fault_injector.casebook import Casebook
from services.fault_injector.open_fault import OpenFault
from services.fault_injector.schedule import Schedule
from services.fault_injector.verdicts import Verdicts

logger = logging.getLogger(__name__)

APPLY_WITHIN_US = 5_000_000
"""How long a silent instance is asked again to apply, before the fault counts as failed."""
RESTARTED = "the injector restarted before it was applied"


class Carrier:
    """Never waits for the target, and runs in the injector's thread.

    Args:
        affected: whom a fault on a service concerns, as known now.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        *,
        casebook: Casebook,
        workers: Workers,
        verdicts: Verdicts,
        affected: Callable[[str], tuple[AffectedService, ...]],
        clock: Callable[[], int],
    ) -> None:
        self._casebook = casebook
        self._workers = workers
        self._verdicts = verdicts
        self._affected = affected
        self._clock = clock
        self._schedule = Schedule()
        self._to_apply: list[Action] = []

    def apply_at(self, fault: OpenFault, at_us: int) -> None:
        """Plans to apply a fault."""
        self._schedule.enter(at_us, "apply", fault.id)

    def do_due(self) -> None:
        """Begins all whose time has come."""
        for task, fault_id, instance in self._schedule.due(self._clock()):
            fault = self._casebook.open.get(fault_id)
            if fault is None or fault.story.is_over:
                continue
            if task == "apply":
                self._apply(fault)
            elif task == "recover":
                self.recover(fault, instance)
            elif instance not in fault.busy:
                self._try_again(fault, instance)

    def launch(self) -> None:
        """Lets the faults be applied of which the events are durable by now."""
        for action in self._to_apply:
            self._workers.submit(action)
        self._to_apply.clear()

    def end(self, fault: OpenFault, reason: str) -> None:
        """Ends a fault before its time."""
        if fault.story.instances:
            for instance in fault.instances:
                self.recover(fault, instance, reason)
            return
        now_us = self._clock()
        event = self._casebook.advance(fault, WHOLE, "stopped", now_us, reason=reason, verdict="inconclusive")
        self._casebook.tell(fault, [event])
        self._casebook.close(fault)

    def recover(self, fault: OpenFault, instance: str, reason: str = "") -> None:
        """Begins recovery; while an action on the instance is under way, as soon as that is over."""
        if instance in fault.busy:
            fault.ending.setdefault(instance, reason)
            return
        if fault.story.state(instance) not in ("applying", "active"):
            return
        now_us = self._clock()
        changes: dict[str, Any] = {"reason": reason} if reason else {}
        event = self._casebook.advance(
            fault, instance, "recovering", now_us, recovery_commanded_at_us=now_us, **changes
        )
        self._casebook.tell(fault, [event])
        self.submit_recovery(fault, instance)

    def submit_recovery(self, fault: OpenFault, instance: str) -> None:
        """Lets an instance be recovered, at once."""
        # Not held back until the event is durable: recovering twice does no harm, recovering late does.
        fault.busy.add(instance)
        self._workers.submit(fault.action("recover", instance))

    def check(self, fault: OpenFault, instance: str) -> None:
        """Lets an instance be asked whether the fault is in force."""
        if instance not in fault.checking and instance not in fault.busy:
            fault.checking.add(instance)
            self._workers.submit(fault.action("check", instance))

    def fix_affected(self, fault: OpenFault) -> None:
        """Settles, once and for all, whom the fault concerns."""
        fault.affected = fault.affected or self._affected(fault.story.whole.service)

    def expect_end(self, fault: OpenFault, instance: str) -> None:
        """Plans the recovery of an instance on which the fault is in force."""
        self._schedule.enter(fault.due_at_us(instance), "recover", fault.id, instance)

    def take(self, outcome: Outcome) -> None:
        """Takes in what came of an action."""
        fault = self._casebook.open.get(outcome.action.fault_id)
        if fault is None:
            return
        instance = outcome.action.instance
        if outcome.action.verb == "check":
            fault.checking.discard(instance)
            self._checked(fault, outcome)
        elif outcome.action.verb == "apply":
            fault.busy.discard(instance)
            self._apply_over(fault, outcome)
        else:
            fault.busy.discard(instance)
            self._recovery_over(fault, outcome)

    def _apply(self, fault: OpenFault) -> None:
        if fault.story.instances:
            return
        now_us = self._clock()
        self.fix_affected(fault)
        events = []
        for instance in fault.instances:
            events.append(
                self._casebook.advance(fault, instance, "applying", now_us, apply_commanded_at_us=now_us)
            )
            self._apply_to(fault, instance)
        self._casebook.tell(fault, events)

    def _apply_to(self, fault: OpenFault, instance: str) -> None:
        fault.busy.add(instance)
        self._to_apply.append(fault.action("apply", instance))

    def _try_again(self, fault: OpenFault, instance: str) -> None:
        if fault.story.state(instance) == "applying":
            self._apply_to(fault, instance)
        elif fault.story.state(instance) == "recovering":
            self.submit_recovery(fault, instance)

    def _apply_over(self, fault: OpenFault, outcome: Outcome) -> None:
        instance = outcome.action.instance
        if outcome.confirmation is not None:
            self._applied(fault, instance, outcome.confirmation.at_us, outcome.confirmation.evidence)
        elif fault.story.state(instance) == "applying":
            self._not_applied(fault, instance, outcome)
        if instance in fault.ending:
            self.recover(fault, instance, fault.ending.pop(instance))

    def _applied(self, fault: OpenFault, instance: str, at_us: int, evidence: str) -> None:
        before = fault.event(instance)
        if before.applied_at_us is not None:
            evidence = f"applied again, as it was no longer in force: {evidence}"
        applied_us = at_us if before.applied_at_us is None else before.applied_at_us
        event = self._casebook.advance(
            fault, instance, "active", self._clock(), applied_at_us=applied_us, evidence=evidence
        )
        self._casebook.tell(fault, [event], confirmed_at_us=at_us)
        self._verdicts.watch(fault)
        fault.efforts.pop(instance, None)
        if before.applied_at_us is None:
            self.expect_end(fault, instance)

    def _not_applied(self, fault: OpenFault, instance: str, outcome: Outcome) -> None:
        now_us = self._clock()
        commanded_us = fault.event(instance).apply_commanded_at_us or now_us
        can_wait = isinstance(outcome.error, Retryable) and now_us < commanded_us + APPLY_WITHIN_US
        if can_wait and instance not in fault.ending:
            self._schedule.enter(now_us + fault.pause_us(instance), "retry", fault.id, instance)
        else:
            reason = fault.ending.pop(instance, "") or f"could not be applied: {outcome.error}"
            self.recover(fault, instance, reason)

    def _recovery_over(self, fault: OpenFault, outcome: Outcome) -> None:
        instance, confirmed = outcome.action.instance, outcome.confirmation
        if confirmed is None:
            logger.info("fault %s on %s is not recovered yet: %s", fault.id, instance, outcome.error)
            at_us = self._clock() + fault.pause_us(instance)
            self._schedule.enter(at_us, "retry", fault.id, instance)
            return
        changes: dict[str, Any] = {"recovered_at_us": confirmed.at_us, "evidence": confirmed.evidence}
        if fault.event(instance).applied_at_us is None:
            changes["verdict"] = "inconclusive"
        state = fault.last_state(instance)
        event = self._casebook.advance(fault, instance, state, self._clock(), **changes)
        self._casebook.tell(fault, [event], confirmed_at_us=confirmed.at_us)
        if fault.story.is_over:
            logger.info("fault %s is over: %s", fault.id, state)
            self._verdicts.over(fault)

    def _checked(self, fault: OpenFault, outcome: Outcome) -> None:
        instance = outcome.action.instance
        if instance in fault.busy:
            return
        state = fault.story.state(instance)
        if state == "applying":
            self._found_applying(fault, outcome)
        elif state == "active" and outcome.error is None and not outcome.holds:
            logger.warning("fault %s is no longer in force on %s; applying it again", fault.id, instance)
            self._apply_to(fault, instance)

    def _found_applying(self, fault: OpenFault, outcome: Outcome) -> None:
        """After a restart: an earlier process was about to apply it, and may have done so."""
        instance = outcome.action.instance
        if outcome.holds:
            self._applied(fault, instance, self._clock(), "found in force after a restart of the injector")
        else:
            self.recover(fault, instance, RESTARTED)
