"""The load of a campaign: as its plan says while it runs, and as it was before when it ends."""

from __future__ import annotations

from collections.abc import Callable

from microservo.application.campaign_journal import CampaignJournal
from microservo.domain.campaigns.course import delayed_us
from microservo.domain.campaigns.plan import CampaignPlan
from microservo.errors import MicroServoError
from microservo.retry import retry


class CampaignLoad:
    """The rate of the users' journeys while one campaign runs; belongs to one thread.

    Args:
        plan: of the campaign.
        journal: of the campaign; every change is entered there.
        set_load: changes the rate, journeys per second.
        before: what the rate was before the campaign; None where that is not known.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self,
        plan: CampaignPlan,
        journal: CampaignJournal,
        set_load: Callable[[float], None],
        *,
        before: float | None,
        clock: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._set_load = set_load
        self._before = before
        self._clock = clock
        # Who goes on finds what the process before set last, killed perhaps before it could say so.
        self._now = before if journal.course.began_at_us is None else None

    def follow(self) -> None:
        """Has users make as many journeys as the plan says for now.

        Raises:
            Retryable: what makes the load, or the broker, does not answer.
        """
        course = self._journal.course
        if course.began_at_us is None:
            return
        passed_us = self._clock() - course.began_at_us - delayed_us(self._plan, course)
        due = [step.journeys_per_s for step in self._plan.load if step.at_us <= passed_us]
        if due and due[-1] != self._now:
            self._set_load(due[-1])
            self._now = due[-1]
            self._journal.enter("load", detail=f"{due[-1]:g} journeys/s")

    def put_back(self, timeout_s: float = 0.0) -> None:
        """Has users make as many journeys as before the campaign; the journal says so, and if it can't be.

        Args:
            timeout_s: for how long it is tried again, in seconds.

        Raises:
            Retryable: the broker is away for now.
        """
        before = self._before
        if not self._plan.load or self._now == before:
            return
        if before is None:
            self._journal.enter("load", detail="left as it is: what it was before is not known")
            return
        try:
            retry(lambda: self._set_load(before), timeout_s=timeout_s)
        except MicroServoError as error:
            detail = f"left as it is: it can't be set back to {before:g} journeys/s ({error})"
            self._journal.enter("load", detail=detail)
            return
        self._now = before
        self._journal.enter("load", detail=f"{before:g} journeys/s, as before")
