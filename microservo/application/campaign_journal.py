"""What a campaign writes about itself: its journal, where it stands, and that nobody else is to run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from microservo.application.connection import Connection
from microservo.domain.campaigns.course import course_of
from microservo.errors import Unavailable
from microservo.log.campaigns import read_campaigns, read_journal
from microservo.log.publisher import Publisher
from schemas.records import CampaignEvent, CampaignEventKind, CampaignRun, CampaignState

LEASE_US = 15_000_000
RENEW_US = 5_000_000
_FLUSH_S = 30.0


class CampaignJournal:
    """Writes of one campaign; belongs to one thread.

    Args:
        connection: to the broker.
        publisher: of both topics.
        run: the campaign, with this process as its holder.
        clock: epoch microseconds UTC.
    """

    def __init__(
        self, connection: Connection, publisher: Publisher, run: CampaignRun, clock: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._publisher = publisher
        self._clock = clock
        self.run = run
        self._entries: list[CampaignEvent] = read_journal(
            connection.broker, connection.topic_prefix, run.campaign_id
        )
        self.course = course_of(self._entries)
        """How far the campaign is."""

    @property
    def has(self) -> frozenset[CampaignEventKind]:
        """What has happened so far."""
        return frozenset(entry.event for entry in self._entries)

    def enter(
        self,
        event: CampaignEventKind,
        *,
        at_us: int | None = None,
        step: int = 0,
        fault_id: str = "",
        detail: str = "",
    ) -> None:
        """Writes an entry, and returns once it is durable.

        Raises:
            Retryable: the broker is away for now.
        """
        entry = CampaignEvent(
            campaign_id=self.run.campaign_id,
            number=len(self._entries) + 1,
            at_us=self._clock() if at_us is None else at_us,
            event=event,
            step=step,
            fault_id=fault_id,
            detail=detail,
        )
        self._publisher.publish(entry)
        self._publisher.flush(_FLUSH_S)
        self._entries.append(entry)
        self.course = course_of(self._entries)

    def claim(self) -> None:
        """Writes that this process runs the campaign.

        Raises:
            Unavailable: another one claimed it at the same time.
        """
        self._write("running")
        self._refuse_another()

    def renew(self) -> None:
        """Keeps the claim; call it often.

        Raises:
            Unavailable: another process has taken the campaign over.
        """
        if self._clock() - self.run.updated_at_us >= RENEW_US:
            self._refuse_another()
            self._write("running")

    def end(self, state: CampaignState, reason: str = "") -> None:
        """Writes where the campaign stands when this process leaves it."""
        self._write(state, reason)

    def _write(self, state: CampaignState, reason: str = "") -> None:
        now_us = self._clock()
        self.run = replace(
            self.run,
            state=state,
            reason=reason,
            faults_over=sum(each.over_at_us is not None for each in self.course.steps.values()),
            updated_at_us=now_us,
            lease_until_us=now_us + LEASE_US if state == "running" else None,
        )
        self._publisher.publish(self.run)
        self._publisher.flush(_FLUSH_S)

    def _refuse_another(self) -> None:
        known = read_campaigns(self._connection.broker, self._connection.topic_prefix)
        newest = known.get(self.run.campaign_id)
        if newest is not None and newest.holder != self.run.holder:
            msg = (
                f"campaign {self.run.campaign_id} was taken over by {newest.holder}, which goes on with it; "
                "`microservo campaign list` shows how far it is"
            )
            raise Unavailable(msg)
