"""Running a campaign, from its beginning or from where another process was killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable

from microservo.application.campaign_faults import CampaignFaults
from microservo.application.campaign_journal import CampaignJournal
from microservo.application.campaign_load import CampaignLoad
from microservo.application.progress import Progress, Stage
from microservo.application.target_health import TargetHealth
from microservo.domain.campaigns.course import (
    GRACE_US,
    Begin,
    Finished,
    Stuck,
    Wait,
    delayed_us,
    next_action,
    stuck_from_us,
)
from microservo.domain.campaigns.health import Watch
from microservo.domain.campaigns.plan import CampaignPlan, PlannedStep
from microservo.errors import MicroServoError, Retryable, Unavailable
from microservo.retry import retry
from schemas.records import FaultEvent

POLL_S = 0.1
_HEALTH_US = 1_000_000
_ROLLBACK_US = 60_000_000
_BUSY_S = 30.0
"""How long a broker that is away may put a fault off: the injector refuses one that comes much later."""
_LOAD_S = 10.0
"""How long it is tried to set the load back; less than the lease, which nobody renews meanwhile."""


class CampaignAborted(MicroServoError):
    """The target left the bounds of the campaign, or a fault was never over; faults were taken back."""


class CampaignRunner:
    """Runs one campaign; belongs to one thread.

    A fault is entered into the journal before it is requested, and requested with the time that stands there.
    Whoever goes on after a crash in between makes the same request, which the injector carries out once.

    Args:
        plan: of the campaign.
        journal: of the campaign, claimed.
        faults: of the campaign.
        health: of the target.
        progress: shows every stage.
        load: of the users, as the campaign has it.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        *,
        plan: CampaignPlan,
        journal: CampaignJournal,
        faults: CampaignFaults,
        health: TargetHealth,
        progress: Progress,
        load: CampaignLoad,
        clock: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._faults = faults
        self._health = health
        self._progress = progress
        self._load = load
        self._clock = clock
        self._abort = Watch(plan.abort)
        self._looked_at_us = 0

    def run(self, begins_at_us: int) -> None:
        """Returns when the campaign is done.

        Args:
            begins_at_us: no fault is made before, in epoch microseconds.

        Raises:
            CampaignAborted: it was aborted, and what was in force was taken back.
            Unavailable: another process has taken it over, or the target is not in its steady state when the
                campaign is to go on; that can be resumed.
        """
        try:
            self._go_on(begins_at_us)
        except CampaignAborted as error:
            self._try_to_roll_back(error)
            raise
        except KeyboardInterrupt:
            # Faults in force end by themselves, and nothing of the plan is lost. A broker that ends with the
            # system can't be told; the lease runs out then.
            with contextlib.suppress(MicroServoError):
                self._load.put_back()
                self._journal.enter("interrupted")
                self._journal.end("interrupted", "interrupted by its user")
            raise
        self._load.put_back(_LOAD_S)
        self._journal.enter("done")
        self._journal.end("done")

    def _go_on(self, begins_at_us: int) -> None:
        if "began" in self._journal.has:
            self._resume(begins_at_us)
        else:
            problem = self._wait_until_steady()
            if problem:
                raise CampaignAborted(problem)
            self._journal.enter("began", at_us=max(begins_at_us, self._clock()))
        title = "quiet time before the next fault"
        step: PlannedStep | None = None
        while True:
            with self._progress.stage(title) as stage:
                if step is not None:
                    self._request(step)
                following = self._wait(stage, step)
                stage.show("" if step is None else summary(self._faults.events(step)))
            if following is None:
                return
            step, title = following, self._title(following)

    def _resume(self, begins_at_us: int) -> None:
        """Brings the target, and what the journal has, to where the next fault may come.

        Raises:
            Unavailable: the target is not in its steady state; nothing is done to it, and nothing is lost.
        """
        # Under the load, and without the faults, that the steady state was looked for at first.
        self._load.put_back(_LOAD_S)
        self._wait_until_over()
        problem = self._wait_until_steady()
        if problem:
            self._journal.enter("unsteady", detail=problem)
            self._journal.end("interrupted", problem)
            msg = f"{problem}; mend it, then `microservo campaign resume {self._journal.run.campaign_id}`"
            raise Unavailable(msg)
        self._wait_until(begins_at_us)
        # What is still open then was entered, and its request was never made.
        for step in self._open_steps():
            self._request(step)

    def _wait_until_over(self) -> None:
        """Waits for the end of the faults that were in force when the campaign was left.

        Raises:
            CampaignAborted: one is never over.
        """
        course, resumed_us = self._journal.course, self._clock()
        made = {
            step.number: step
            for step in self._open_steps()
            if self._faults.was_requested(step, course.steps[step.number].requested_at_us)
        }
        with self._progress.stage("end of the faults that are in force") as stage:
            while left := [step for step in self._open_steps() if step.number in made]:
                for step in left:
                    # Who ends it may have been away as long as we were.
                    if self._clock() > max(stuck_from_us(step, course), resumed_us + GRACE_US):
                        raise CampaignAborted(self._never_over(step))
                stage.show(f"still open: {self._ids(left)}")
                self._journal.renew()
                self._faults.poll(POLL_S)
                self._enter_ends()
            stage.show("nothing is in force")

    def _wait_until_steady(self) -> str:
        """What the target lacks for its steady state when the time for it is up; empty if it is steady."""
        steady, within_s = Watch(self._plan.steady), self._plan.steady.within_s
        with self._progress.stage("steady state of the target") as stage:
            deadline_us = self._clock() + round(within_s * 1e6)
            while True:
                now_us = self._clock()
                problem = steady.observe(self._health.read(now_us), now_us / 1e6)
                if steady.is_within(now_us / 1e6):
                    break
                if now_us > deadline_us:
                    lacking = problem or "it was, but not for long enough"
                    return f"the target is not in its steady state after {within_s:g} s: {lacking}"
                stage.show(problem or "within its bounds")
                self._journal.renew()
                self._faults.poll(POLL_S)
            self._journal.enter("steady")
            stage.show("within its bounds")
            return ""

    def _wait_until(self, at_us: int) -> None:
        with self._progress.stage("time without faults at the beginning of the run") as stage:
            while (now_us := self._clock()) < at_us:
                stage.show(f"{(at_us - now_us) / 1e6:.0f} s more")
                self._journal.renew()
                self._faults.poll(POLL_S)

    def _request(self, step: PlannedStep) -> None:
        now_us = self._clock()

        def enter() -> None:
            fault_id = self._faults.id_of(step)
            self._journal.enter("requested", at_us=now_us, step=step.number, fault_id=fault_id)

        retry(enter, timeout_s=_BUSY_S)
        retry(lambda: self._faults.request(step, now_us), timeout_s=_BUSY_S)

    def _wait(self, stage: Stage, current: PlannedStep | None) -> PlannedStep | None:
        """Waits for the next fault's turn, and gives it; None when the campaign is done."""
        while True:
            try:
                self._faults.poll(POLL_S)
                self._enter_ends()
                self._look_at_target()
                self._load.follow()
                self._journal.renew()
            except Retryable as error:
                # A campaign of a night outlives a broker that is away for a moment.
                stage.show(str(error))
                time.sleep(POLL_S)
                continue
            match next_action(self._plan, self._journal.course, self._clock()):
                case Begin(step=step):
                    return step
                case Finished():
                    return None
                case Stuck(step=step):
                    raise CampaignAborted(self._never_over(step))
                case Wait(until_us=until_us):
                    self._show(stage, current, until_us)

    def _enter_ends(self) -> None:
        """Enters the faults that are over by now."""
        course = self._journal.course
        for step in self._open_steps():
            over_us = self._faults.over_at_us(step)
            if over_us is not None:
                # An earlier fault of the same id can't be meant.
                over_us = max(over_us, course.steps[step.number].requested_at_us)
                states = {event.state for event in self._faults.events(step)}
                self._journal.enter(
                    "over",
                    at_us=over_us,
                    step=step.number,
                    fault_id=self._faults.id_of(step),
                    detail=", ".join(sorted(states)),
                )

    def _look_at_target(self) -> None:
        now_us = self._clock()
        if now_us - self._looked_at_us < _HEALTH_US:
            return
        self._looked_at_us = now_us
        problem = self._abort.observe(self._health.read(now_us), now_us / 1e6)
        if self._abort.is_out(now_us / 1e6):
            self._journal.enter("unsteady", detail=problem)
            msg = f"the target has been out of its bounds for {self._plan.abort.for_s:g} s: {problem}"
            raise CampaignAborted(msg)

    def _try_to_roll_back(self, why: CampaignAborted) -> None:
        """Rolls back; a broker that is away must not hide why the campaign was aborted.

        Raises:
            CampaignAborted: for the same reason, and the rollback failed.
        """
        try:
            self._roll_back(str(why))
        except MicroServoError as error:
            msg = (
                f"{why}; rolling back failed, too: {error}; what is in force ends by itself, or by "
                "`microservo fault stop`"
            )
            raise CampaignAborted(msg) from error

    def _roll_back(self, reason: str) -> None:
        """Ends what is in force, and writes that it was."""
        self._journal.enter("aborted", detail=reason)
        with self._progress.stage("rollback: ending the faults in force") as stage:
            self._faults.stop(self._open_steps())
            deadline_us = self._clock() + _ROLLBACK_US
            while self._open_steps() and self._clock() < deadline_us:
                self._faults.poll(POLL_S)
                self._enter_ends()
            left = self._ids(self._open_steps())
            stage.show(f"still open: {left}" if left else "nothing is in force")
        self._load.put_back(_LOAD_S)
        self._journal.enter("rolled_back", detail=f"still open: {left}" if left else "")
        self._journal.end("aborted", reason)

    def _open_steps(self) -> list[PlannedStep]:
        course = self._journal.course
        return [
            step
            for step in self._plan.steps
            if step.number in course.steps and course.steps[step.number].over_at_us is None
        ]

    def _ids(self, steps: Iterable[PlannedStep]) -> str:
        return ", ".join(self._faults.id_of(step) for step in steps)

    def _never_over(self, step: PlannedStep) -> str:
        return f"fault {self._faults.id_of(step)} was never over; is the injector running?"

    def _title(self, step: PlannedStep) -> str:
        parameters = "".join(f" {name}={value}" for name, value in step.parameters.items())
        return f"fault {step.number}/{len(self._plan.steps)}: {step.kind} on {step.service}{parameters}"

    def _show(self, stage: Stage, current: PlannedStep | None, until_us: int) -> None:
        course, now_us = self._journal.course, self._clock()
        done_us = now_us - (course.began_at_us or now_us) - delayed_us(self._plan, course)
        stage.advance(max(0.0, done_us / 1e6), self._plan.lasts_us / 1e6)
        state = "" if current is None else f"{summary(self._faults.events(current))}, "
        stage.show(f"{state}next in {max(0.0, (until_us - now_us) / 1e6):.0f} s")


_TIMES = {"applied_at_us": "applied", "effect_seen_at_us": "effect", "recovered_at_us": "recovered"}


def summary(events: list[FaultEvent]) -> str:
    """What is known of a fault by its newest events, for example "active, applied +0.05 s"."""
    if not events:
        return "requested"
    event = max(events, key=lambda each: each.version)
    times = [
        f"{word} +{(at_us - event.requested_at_us) / 1e6:.2f} s"
        for field, word in _TIMES.items()
        if (at_us := getattr(event, field)) is not None
    ]
    return ", ".join([event.state + (f" ({event.reason})" if event.reason else ""), *times])
