"""`client.campaigns`."""

from __future__ import annotations

from microservo.application.campaigns import (
    LATEST_CAMPAIGN,
    CampaignReport,
    CampaignStatus,
    ListCampaigns,
    PlanCampaign,
    ReportCampaign,
    ResumeCampaign,
    RunCampaign,
)
from microservo.application.command import Context
from microservo.application.progress import SILENT, Progress
from microservo.application.table import execute
from microservo.domain.campaigns.plan import CampaignPlan


class Campaigns:
    """Plan campaigns, run them, go on with one that was killed, see what came of them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def plan(self, name: str, *, seed: int | None = None) -> CampaignPlan:
        """The plan of a campaign: same seed, same bytes.

        Args:
            name: of a shipped one, or path of a file that ends in .toml.
            seed: instead of the file's own.

        Raises:
            InvalidInput: there is no such campaign, or it asks for something that can't be.
        """
        return execute(PlanCampaign(name=name, seed=seed), self._context)

    def run(
        self, plan: CampaignPlan, *, campaign_id: str | None = None, progress: Progress = SILENT
    ) -> CampaignReport:
        """Runs a campaign on the running system, to its end.

        Args:
            plan: of the campaign.
            campaign_id: identity; made up if not given.
            progress: shows every stage.

        Raises:
            InvalidInput: the running system can't carry it; nothing was touched.
            CampaignAborted: the target left its bounds; what was in force was taken back.
        """
        command = RunCampaign(plan=plan, campaign_id=campaign_id)
        return execute(command, self._context.with_progress(progress))

    def resume(self, campaign_id: str = LATEST_CAMPAIGN, *, progress: Progress = SILENT) -> CampaignReport:
        """Goes on with a campaign that was killed or interrupted; raises as `run`."""
        return execute(ResumeCampaign(campaign_id=campaign_id), self._context.with_progress(progress))

    def report(self, campaign_id: str = LATEST_CAMPAIGN) -> CampaignReport:
        """What came of a campaign; `InvalidInput` if there is none."""
        return execute(ReportCampaign(campaign_id=campaign_id), self._context)

    def list(self) -> tuple[CampaignStatus, ...]:
        """All campaigns that were run, in the order in which they were started."""
        return execute(ListCampaigns(), self._context)
