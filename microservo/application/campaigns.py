"""What can be asked for about campaigns: plan one, run it, go on with it, see what came of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from microservo.application.campaign_targets import check_faults, cluster_target
from microservo.application.command import Command, Context
from microservo.application.faults import ListFaults, list_faults
from microservo.application.runs import running_run
from microservo.domain import campaigns
from microservo.domain.campaigns.choice import CampaignFault
from microservo.domain.campaigns.course import Course
from microservo.domain.campaigns.definition import CLUSTER, Definition, load_definition
from microservo.domain.campaigns.plan import (
    CampaignPlan,
    PlannedStep,
    fault_id,
    plan_campaign,
)
from microservo.domain.campaigns.target import CampaignTarget
from microservo.domain.faults.catalogue import check_id
from microservo.errors import InvalidInput, Unavailable
from microservo.log.campaigns import read_campaigns, read_journal
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from microservo.platforms.local.topology_files import read_topology
from microservo.platforms.platform import LoadedPlatform
from microservo.platforms.target import kinds_of_clusters
from schemas.records import CampaignEvent, CampaignRun, Experiment, FaultEvent

if TYPE_CHECKING:
    from microservo.application.campaign_faults import CampaignFaults

LATEST_CAMPAIGN = "latest"
CampaignStanding = Literal["running", "killed", "interrupted", "done", "aborted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignStatus:
    """Where a campaign stands.

    Attributes:
        run: its record.
        standing: as the record says, but killed where nobody runs it any more.
    """

    run: CampaignRun
    standing: CampaignStanding


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignReport:
    """What came of a campaign so far.

    Attributes:
        status: where it stands.
        plan: of its faults.
        journal: what was done when.
        faults: newest event of each fault and instance, in the order of the plan.
    """

    status: CampaignStatus
    plan: CampaignPlan
    journal: tuple[CampaignEvent, ...]
    faults: tuple[FaultEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCampaign(Command[CampaignPlan]):
    """Asks for the plan of a campaign; needs no running system, but for one of all services of a cluster.

    Attributes:
        name: of a shipped one, or path of a file that ends in .toml.
        seed: instead of the file's own.
    """

    name: str
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCampaign(Command[CampaignReport]):
    """Runs a campaign on the running system, from its beginning to its end.

    Attributes:
        plan: of the campaign.
        campaign_id: identity; made up if not given.
    """

    plan: CampaignPlan
    campaign_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeCampaign(Command[CampaignReport]):
    """Goes on with a campaign that was killed or interrupted, to its end."""

    campaign_id: str = LATEST_CAMPAIGN


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCampaign(Command[CampaignReport]):
    """Asks what came of a campaign."""

    campaign_id: str = LATEST_CAMPAIGN


@dataclass(frozen=True, slots=True, kw_only=True)
class ListCampaigns(Command[tuple[CampaignStatus, ...]]):
    """Asks for all campaigns that were run, in the order in which they were started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListShippedCampaigns(Command[tuple[Definition, ...]]):
    """Asks for the campaigns that come with MicroServo; needs no running system."""


def plan_of_campaign(command: PlanCampaign, context: Context) -> CampaignPlan:
    """The plan.

    Raises:
        InvalidInput: there is no such campaign, or it asks for something that can't be.
        Unavailable: it is of all services of a cluster, and none is attached.
    """
    definition = _definition(command.name)
    if definition.is_on_cluster:
        return plan_campaign(
            definition, cluster_target(definition, context), kinds_of_clusters(), command.seed
        )
    target = CampaignTarget.of(read_topology(definition.topology))
    return plan_campaign(definition, target, kinds_of_local_targets(), command.seed)


def run_campaign(command: RunCampaign, context: Context) -> CampaignReport:
    """What came of it.

    Raises:
        InvalidInput: the running system can't carry it; nothing was touched.
        CampaignAborted: the target left the campaign's bounds; what was in force was taken back.
        Unavailable: no run goes on, or another process has taken the campaign over.
    """
    campaign_id = command.campaign_id or f"{command.plan.name}-{secrets.token_hex(4)}"
    known = {each.run.campaign_id: each for each in list_campaigns(ListCampaigns(), context)}
    check_id(f"{campaign_id}-{len(command.plan.steps):03}")
    _refuse_second(known.values())
    if campaign_id in known:
        msg = f"there is a campaign {campaign_id!r} already; resume it, or take another id"
        raise InvalidInput(msg)
    experiment = _checked_run(command.plan, context)
    now_us = context.clock()
    record = CampaignRun(
        campaign_id=campaign_id,
        name=command.plan.name,
        seed=command.plan.seed,
        run_id=experiment.run_id,
        plan=command.plan.to_bytes().decode(),
        plan_sha256=command.plan.sha256,
        state="running",
        faults=len(command.plan.steps),
        faults_over=0,
        started_at_us=now_us,
        updated_at_us=now_us,
        holder=_holder(),
    )
    return _carried_out(record, command.plan, experiment, context, declared=False)


def resume_campaign(command: ResumeCampaign, context: Context) -> CampaignReport:
    """What came of it; raises as `run_campaign`, and `InvalidInput` if somebody runs it or it is over."""
    status = _named(command.campaign_id, context)
    if status.standing not in ("killed", "interrupted"):
        raise InvalidInput(_nothing_to_go_on_with(status))
    known = CampaignPlan.from_bytes(status.run.plan.encode())
    experiment = _checked_run(known, context)
    record = replace(status.run, run_id=experiment.run_id, holder=_holder())
    return _carried_out(record, known, experiment, context, declared=status.run.run_id == experiment.run_id)


def _nothing_to_go_on_with(status: CampaignStatus) -> str:
    """Why a campaign can't be resumed, and when it could be if whoever runs it had ended without a word."""
    msg = f"campaign {status.run.campaign_id} is {status.standing}, so there is nothing to go on with"
    lease_us = status.run.lease_until_us
    if status.standing != "running" or lease_us is None:
        return msg
    ends = datetime.fromtimestamp(lease_us / 1e6, UTC)
    return (
        f"{msg}; the lease of the process that runs it ends at {ends:%Y-%m-%d %H:%M:%SZ} unless it renews "
        "it: if that process is gone, resume it then"
    )


def report_campaign(command: ReportCampaign, context: Context) -> CampaignReport:
    """What came of it so far.

    Raises:
        InvalidInput: there is no such campaign.
    """
    connection = context.connection
    status = _named(command.campaign_id, context)
    journal = read_journal(connection.broker, connection.topic_prefix, status.run.campaign_id)
    known = CampaignPlan.from_bytes(status.run.plan.encode())
    return CampaignReport(
        status=status,
        plan=known,
        journal=tuple(journal),
        faults=_faults(status.run.campaign_id, known, journal, context),
    )


def list_campaigns(_command: ListCampaigns, context: Context) -> tuple[CampaignStatus, ...]:
    """The campaigns.

    Raises:
        Retryable: the broker is away for now.
    """
    connection, now_us = context.connection, context.clock()
    found = read_campaigns(connection.broker, connection.topic_prefix)
    return tuple(CampaignStatus(run=each, standing=_standing(each, now_us)) for each in found.values())


def list_shipped_campaigns(_command: ListShippedCampaigns, _context: Context) -> tuple[Definition, ...]:
    """The campaigns, by their names."""
    return tuple(load_definition(text, name) for name, text in sorted(_shipped().items()))


def _shipped() -> dict[str, str]:
    """Texts of the shipped campaigns, by name."""
    folder = files(campaigns) / "shipped"
    paths = [path for path in folder.iterdir() if path.name.endswith(".toml")]
    return {path.name.removesuffix(".toml"): path.read_text("utf-8") for path in paths}


def _definition(name: str) -> Definition:
    if not name.endswith(".toml"):
        shipped = _shipped()
        if name not in shipped:
            msg = (
                f"there is no campaign {name[:80]!r}; choose one of {', '.join(sorted(shipped))}, or give "
                "the path of a file that ends in .toml"
            )
            raise InvalidInput(msg)
        return load_definition(shipped[name], name)
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"campaign {name} can't be read ({error}); give a file with TOML in UTF-8"
        raise InvalidInput(msg) from error
    return load_definition(text, Path(name).name)


def _checked_run(plan: CampaignPlan, context: Context) -> Experiment:
    """The run that goes on, if its target can carry a plan."""
    experiment = running_run(context)
    if experiment is None:
        msg = "no run goes on, so there is nothing to break; `microservo up` begins one"
        raise Unavailable(msg)
    # In a cluster, the namespaces stand behind.
    is_on_cluster = experiment.target.partition(" ")[0] == CLUSTER
    if plan.target != (CLUSTER if is_on_cluster else experiment.target):
        name_it = 'platform = "kubernetes"' if is_on_cluster else "this topology"
        msg = (
            f"campaign {plan.name} is for {plan.target}, and what runs is {experiment.target}; start that "
            f"target, or write {name_it} under [target] in the campaign's file"
        )
        raise InvalidInput(msg)
    platform = context.connection.platform()
    if platform is not None:
        check_faults(plan, platform)
    return experiment


def _refuse_second(known: Iterable[CampaignStatus]) -> None:
    """One campaign at a time: of two at once, neither would be what was planned."""
    running = [each.run.campaign_id for each in known if each.standing == "running"]
    if running:
        msg = f"campaign {running[0]} is running; wait until it is done, or end it with Ctrl-C where it runs"
        raise InvalidInput(msg)


def _carried_out(
    record: CampaignRun, plan: CampaignPlan, experiment: Experiment, context: Context, *, declared: bool
) -> CampaignReport:
    """What came of it; `declared` says whether the run's record has its faults already."""
    # What is needed to run one loads NumPy, which most acts don't need.
    from microservo.application.campaign_faults import CampaignFaults  # noqa: PLC0415
    from microservo.application.campaign_journal import CampaignJournal  # noqa: PLC0415
    from microservo.application.campaign_load import CampaignLoad  # noqa: PLC0415
    from microservo.application.campaign_runner import CampaignRunner  # noqa: PLC0415
    from microservo.application.target_health import TargetHealth  # noqa: PLC0415
    from microservo.log.publisher import Publisher  # noqa: PLC0415
    from microservo.log.run_records import declare_plan  # noqa: PLC0415

    connection, clock = context.connection, context.clock
    with ExitStack() as stack:
        producer = stack.enter_context(connection.broker.producer(linger_ms=0))
        publisher = Publisher(producer, "client", prefix=connection.topic_prefix, clock=clock)
        journal = CampaignJournal(connection, publisher, record, clock)
        faults = stack.enter_context(CampaignFaults(connection, publisher, record.campaign_id, clock))
        if not declared:
            declare_plan(
                connection.broker,
                experiment.run_id,
                _remaining(plan, journal.course, faults),
                process="client",
                clock=clock,
                topic_prefix=connection.topic_prefix,
            )
        journal.claim()
        journal.enter("resumed" if "started" in journal.has else "started", detail=record.holder)
        runner = CampaignRunner(
            plan=plan,
            journal=journal,
            faults=faults,
            health=stack.enter_context(TargetHealth(connection, experiment.run_id, plan.entry)),
            progress=context.progress,
            load=CampaignLoad(
                plan,
                journal,
                lambda journeys_per_s: _set_load(journeys_per_s, context),
                before=_load_of(experiment),
                clock=clock,
            ),
            clock=clock,
        )
        runner.run(experiment.fault_free_until_us or 0)
    return report_campaign(ReportCampaign(campaign_id=record.campaign_id), context)


def _remaining(plan: CampaignPlan, course: Course, faults: CampaignFaults) -> list[CampaignFault]:
    """The faults that are still to be requested."""

    def is_requested(step: PlannedStep) -> bool:
        known = course.steps.get(step.number)
        return known is not None and (
            known.over_at_us is not None or faults.was_requested(step, known.requested_at_us)
        )

    return [fault for step, fault in zip(plan.steps, plan.faults, strict=True) if not is_requested(step)]


def _load_of(experiment: Experiment) -> float | None:
    """The rate that a run began with; None where it is of several generators, or of none."""
    rates = {load.journeys_per_s for load in experiment.loads}
    return rates.pop() if len(rates) == 1 else None


def _set_load(journeys_per_s: float, context: Context) -> None:
    """Changes the load, where its platform makes it."""
    platform = context.connection.platform()
    if isinstance(platform, LoadedPlatform):
        platform.set_load(journeys_per_s)


def _named(name: str, context: Context) -> CampaignStatus:
    known = list_campaigns(ListCampaigns(), context)
    if name == LATEST_CAMPAIGN and known:
        return known[-1]
    for each in known:
        if each.run.campaign_id == name:
            return each
    newest = ", ".join(each.run.campaign_id for each in known[-5:]) or "none yet"
    msg = f"there is no campaign {name[:80]!r} that was run; the newest are: {newest}"
    raise InvalidInput(msg)


def _standing(run: CampaignRun, now_us: int) -> CampaignStanding:
    if run.state == "running" and (run.lease_until_us is None or now_us >= run.lease_until_us):
        return "killed"
    return run.state


def _faults(
    campaign_id: str, plan: CampaignPlan, journal: list[CampaignEvent], context: Context
) -> tuple[FaultEvent, ...]:
    """The newest events of its faults; the whole history is read only if their states are no longer kept."""
    ids = {fault_id(campaign_id, step): step.number for step in plan.steps}
    wanted = {entry.fault_id for entry in journal if entry.event == "over"}
    found = [each for each in list_faults(ListFaults(), context) if each.fault_id in ids]
    if not wanted <= {each.fault_id for each in found}:
        found = [each for each in list_faults(ListFaults(history=True), context) if each.fault_id in ids]
    return tuple(sorted(found, key=lambda each: (ids[each.fault_id], each.instance)))


def _holder() -> str:
    return f"campaign-{secrets.token_hex(6)}"
