"""Running a campaign, from its beginning or from where another process was killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from microservo.application.campaign_faults import CampaignFaults
from microservo.application.campaign_journal import CampaignJournal
from microservo.application.progress import Progress, Stage
from microservo.application.target_health import TargetHealth
from microservo.domain.campaigns.course import Begin, Finished, Stuck, Wait, delayed_us, next_action
from microservo.domain.campaigns.health import Watch
from microservo.domain.campaigns.plan import CampaignPlan, PlannedStep
from microservo.errors import MicroServoError, Retryable
from microservo.retry import retry
from schemas.records import FaultEvent

POLL_S = 0.1
_HEALTH_US = 1_000_000
_ROLLBACK_US = 60_000_000
_BUSY_S = 30.0
"""How long a broker that is away may put a fault off: the injector refuses one that comes much later."""


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
        set_load: changes the rate of the users' journeys, per second.
        load_now: what that rate is; None where it is not known.
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
        set_load: Callable[[float], None],
        load_now: float | None,
        clock: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._faults = faults
        self._health = health
        self._progress = progress
        self._set_load = set_load
        self._clock = clock
        self._abort = Watch(plan.abort)
        self._looked_at_us = 0
        self._load_now = load_now

    def run(self, begins_at_us: int) -> None:
        """Returns when the campaign is done.

        Args:
            begins_at_us: not before, in epoch microseconds; of one that has begun, nothing.

        Raises:
            CampaignAborted: it was aborted, and what was in force was taken back.
            Unavailable: another process has taken it over.
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
                self._journal.enter("interrupted")
                self._journal.end("interrupted", "interrupted by its user")
            raise
        self._journal.enter("done")
        self._journal.end("done")

    def _go_on(self, begins_at_us: int) -> None:
        if "began" in self._journal.has:
            self._request_again()
        else:
            self._wait_until_steady()
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

    def _wait_until_steady(self) -> None:
        steady = Watch(self._plan.steady)
        with self._progress.stage("steady state of the target") as stage:
            deadline_us = self._clock() + round(self._plan.steady.within_s * 1e6)
            while True:
                now_us = self._clock()
                problem = steady.observe(self._health.read(now_us), now_us / 1e6)
                if steady.is_within(now_us / 1e6):
                    break
                if now_us > deadline_us:
                    msg = (
                        f"the target is not in its steady state after {self._plan.steady.within_s:g} s: "
                        f"{problem or 'it was, but not for long enough'}"
                    )
                    raise CampaignAborted(msg)
                stage.show(problem or "within its bounds")
                self._journal.renew()
                self._faults.poll(POLL_S)
            self._journal.enter("steady")
            stage.show("within its bounds")

    def _request_again(self) -> None:
        """Makes the requests that the journal has and nobody made."""
        course = self._journal.course
        for step in self._plan.steps:
            found = course.steps.get(step.number)
            if found is None or found.over_at_us is not None:
                continue
            if not self._faults.was_requested(step, found.requested_at_us):
                self._request(step)

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
                self._follow_load()
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
                    msg = f"fault {self._faults.id_of(step)} was never over; is the injector running?"
                    raise CampaignAborted(msg)
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

    def _follow_load(self) -> None:
        """Has users make as many journeys as the plan says for now."""
        course = self._journal.course
        if course.began_at_us is None:
            return
        passed_us = self._clock() - course.began_at_us - delayed_us(self._plan, course)
        due = [step.journeys_per_s for step in self._plan.load if step.at_us <= passed_us]
        if due and due[-1] != self._load_now:
            self._set_load(due[-1])
            self._load_now = due[-1]
            self._journal.enter("load", detail=f"{due[-1]:g} journeys/s")

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
            left = [self._faults.id_of(step) for step in self._open_steps()]
            stage.show(f"still open: {', '.join(left)}" if left else "nothing is in force")
        self._journal.enter("rolled_back", detail=f"still open: {', '.join(left)}" if left else "")
        self._journal.end("aborted", reason)

    def _open_steps(self) -> list[PlannedStep]:
        course = self._journal.course
        return [
            step
            for step in self._plan.steps
            if step.number in course.steps and course.steps[step.number].over_at_us is None
        ]

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
