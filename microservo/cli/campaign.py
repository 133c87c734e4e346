"""`microservo campaign`: many faults, planned by a file and a seed, run without anybody watching."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from microservo.application.campaigns import (
    LATEST_CAMPAIGN,
    CampaignReport,
    CampaignStatus,
    ListCampaigns,
    ListShippedCampaigns,
    PlanCampaign,
    ReportCampaign,
    ResumeCampaign,
    RunCampaign,
)
from microservo.application.command import Command
from microservo.cli.fault_rows import FAULT_COLUMNS, fault_row
from microservo.cli.output import Cell, console, print_document, print_line, print_table
from microservo.cli.progress import TerminalProgress
from microservo.cli.session import Session, pass_session
from microservo.cli.text import styled
from microservo.cli.times import clock_time, date_time
from microservo.domain.campaigns.course import not_requested
from microservo.domain.campaigns.plan import CampaignPlan
from microservo.domain.faults.units import format_duration

_COLOURS = {"running": "magenta", "killed": "red", "interrupted": "yellow", "done": "green", "aborted": "red"}


def _complete_name(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shipped campaigns, and files."""
    shipped = Session().execute(ListShippedCampaigns())
    names = [CompletionItem(each.name, help=each.summary) for each in shipped]
    found = [each for each in names if str(each.value).startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="file")]


def _name_argument(command: Callable[..., None]) -> Callable[..., None]:
    seed = click.option(
        "--seed", type=click.IntRange(min=0), help="Of all choices; the file's own by default."
    )
    argument = click.argument("name", metavar="NAME|FILE.toml", shell_complete=_complete_name)
    return argument(seed(command))


@click.group()
def campaign() -> None:
    """Run many faults one after another or at once, as a file and a seed have it.

    The same seed gives the same plan, to the byte. A campaign that was killed goes on where it was, without a
    fault lost or doubled. See docs/campaigns.md for the files; these come with MicroServo: smoke, all-kinds,
    severity-ladder, concurrent, night.

    \b
    Examples:
      microservo campaign plan smoke
      microservo campaign run all-kinds --seed 11
      microservo campaign resume
      microservo campaign report
    """


@campaign.command()
@_name_argument
@click.option("--json", "as_json", is_flag=True, help="JSON: the very bytes of the plan.")
@pass_session
def plan(session: Session, name: str, *, seed: int | None, as_json: bool) -> None:
    """Show which faults would come when; nothing is run, and no system is needed.

    \b
    Examples:
      microservo campaign plan all-kinds --seed 11
      microservo campaign plan mine.toml --json > plan.json
    """
    found = session.execute(PlanCampaign(name=name, seed=seed))
    if as_json:
        print_line(found.to_bytes().decode())
        return
    print_table(("#", "begins", "lasts", "fault", "service", "parameters"), _plan_rows(found))
    print_line(
        f"{len(found.steps)} faults in {format_duration(found.lasts_us)} on {found.target}, "
        f"{found.fault_free_share:.0%} of it without any; seed {found.seed}, plan {found.sha256[:16]}"
    )


@campaign.command()
@_name_argument
@click.option("--id", "campaign_id", metavar="TEXT", help="Identity of the campaign; made up by default.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@pass_session
def run(session: Session, name: str, *, seed: int | None, campaign_id: str | None, as_json: bool) -> None:
    """Run a campaign on the running system, from a check of its steady state to the last fault's end.

    Ctrl-C interrupts it: faults in force end by themselves, and `resume` goes on with the rest. It is aborted
    where the target leaves the bounds that the file names; then what is in force is taken back.

    \b
    Examples:
      microservo campaign run smoke
      microservo campaign run mine.toml --seed 11 --id monday
    """
    found = session.execute(PlanCampaign(name=name, seed=seed))
    _run(session, RunCampaign(plan=found, campaign_id=campaign_id), as_json=as_json)


@campaign.command()
@click.argument("campaign_id", metavar="[ID]", default=LATEST_CAMPAIGN)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@pass_session
def resume(session: Session, campaign_id: str, *, as_json: bool) -> None:
    """Go on with a campaign that was killed or interrupted, the newest one if not named.

    Faults that were requested are not requested again; what is left comes as much later as the break was
    long. A campaign that was killed counts as running for a quarter of a minute.

    \b
    Examples:
      microservo campaign resume
      microservo campaign resume smoke-1a2b3c4d
    """
    _run(session, ResumeCampaign(campaign_id=campaign_id), as_json=as_json)


@campaign.command()
@click.argument("campaign_id", metavar="[ID]", default=LATEST_CAMPAIGN)
@click.option("--json", "as_json", is_flag=True, help="JSON.")
@pass_session
def report(session: Session, campaign_id: str, *, as_json: bool) -> None:
    """Show what came of a campaign so far: its journal, its faults and their verdicts.

    \b
    Examples:
      microservo campaign report
      microservo campaign report smoke-1a2b3c4d --json | jq '.faults[].verdict'
    """
    found = session.execute(ReportCampaign(campaign_id=campaign_id))
    if as_json:
        print_document(found)
        return
    unmade = not_requested(found.journal)
    rows = [
        (
            clock_time(entry.at_us),
            entry.event.replace("_", " "),
            entry.fault_id,
            "not made: killed before; see below" if entry.number in unmade else entry.detail,
        )
        for entry in found.journal
    ]
    print_table(("at", "what", "fault", "detail"), rows, lines=False)
    _print_summary(found)


@campaign.command("list")
@click.option("--shipped", is_flag=True, help="Those that come with MicroServo instead; needs no system.")
@click.option("--json", "as_json", is_flag=True, help="JSON, one document per line.")
@pass_session
def list_campaigns(session: Session, *, shipped: bool, as_json: bool) -> None:
    """List the campaigns that were run, in the order in which they were started.

    \b
    Examples:
      microservo campaign list
      microservo campaign list --shipped
    """
    if shipped:
        definitions = session.execute(ListShippedCampaigns())
        if as_json:
            for definition in definitions:
                print_document(definition)
        else:
            print_table(("campaign", "what"), [(each.name, each.summary) for each in definitions])
        return
    found = session.execute(ListCampaigns())
    if as_json:
        for each in found:
            print_document(each)
    elif not found:
        print_line("no campaign was run yet; `microservo campaign list --shipped` shows some that can be")
    else:
        print_table(("campaign", "state", "faults", "seed", "run", "started"), [_row(each) for each in found])


def _run(session: Session, command: Command[CampaignReport], *, as_json: bool) -> None:
    progress = TerminalProgress(console(stderr=True))
    try:
        found = session.execute(command, progress)
    except KeyboardInterrupt:
        progress.note("`microservo campaign resume` goes on with it")
        raise
    if as_json:
        print_document(found)
    else:
        _print_summary(found)


def _print_summary(found: CampaignReport) -> None:
    run = found.status.run
    print_table(FAULT_COLUMNS, [fault_row(event) for event in found.faults], lines=False)
    verdicts = Counter(event.verdict for event in found.faults)
    told = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common()) or "none yet"
    print_line(
        f"campaign  {run.campaign_id}, {found.status.standing}" + (f": {run.reason}" if run.reason else "")
    )
    print_line(f"faults    {run.faults_over} of {run.faults} over; effects: {told}")
    print_line(f"plan      {run.plan_sha256}, seed {run.seed}")
    print_line(f"run       {run.run_id}")


def _plan_rows(plan: CampaignPlan) -> list[tuple[Cell, ...]]:
    return [
        (
            str(step.number),
            f"+{step.at_us / 1e6:.0f} s",
            format_duration(step.duration_us),
            step.kind,
            step.service,
            ", ".join(f"{name}={value}" for name, value in step.parameters.items()) or "-",
        )
        for step in plan.steps
    ]


def _row(status: CampaignStatus) -> tuple[Cell, ...]:
    run = status.run
    state = styled(status.standing, fg=_COLOURS[status.standing])
    return (
        run.campaign_id,
        (state, styled(run.reason, dim=True)) if run.reason else state,
        f"{run.faults_over} of {run.faults}",
        str(run.seed),
        run.run_id,
        date_time(run.started_at_us),
    )
