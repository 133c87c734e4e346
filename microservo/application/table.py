"""The table of all that can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from microservo.application.algorithm_checks import (
    CheckAlgorithm,
    TryAlgorithm,
    check_algorithm,
    try_algorithm,
)
from microservo.application.algorithm_logs import ReadAlgorithmLogs, read_algorithm_logs
from microservo.application.algorithm_progress import WaitForAlgorithm, wait_for_algorithm
from microservo.application.algorithms import (
    DeployAlgorithm,
    InitProject,
    ListAlgorithmKinds,
    ListAlgorithms,
    RemoveAlgorithm,
    StartAlgorithm,
    StopAlgorithm,
    deploy_algorithm,
    init_project,
    list_algorithm_kinds,
    list_algorithms,
    remove_algorithm,
    start_algorithm,
    stop_algorithm,
)
from microservo.application.board import (
    CompareAlgorithms,
    CountMedals,
    ExportBoard,
    ShowBoard,
    compare_algorithms,
    count_medals,
    export_board,
    show_board,
)
from microservo.application.campaigns import (
    ListCampaigns,
    ListShippedCampaigns,
    PlanCampaign,
    ReportCampaign,
    ResumeCampaign,
    RunCampaign,
    list_campaigns,
    list_shipped_campaigns,
    plan_of_campaign,
    report_campaign,
    resume_campaign,
    run_campaign,
)
from microservo.application.cluster import CheckCluster, check_cluster
from microservo.application.command import Command, Context
from microservo.application.dataset_shelf import (
    BuildDataset,
    DeleteDataset,
    DescribeDataset,
    DownloadDataset,
    ListDatasets,
    PreviewDataset,
    ResumeDatasetBuild,
    ShowDataset,
    SplitDataset,
    StartDatasetBuild,
    TagDataset,
    build_dataset,
    delete_dataset,
    describe_dataset,
    download_dataset,
    list_datasets,
    preview_dataset,
    resume_dataset_build,
    show_dataset,
    split_dataset,
    start_dataset_build,
    tag_dataset,
)
from microservo.application.datasets import (
    CheckFolder,
    ExportDataset,
    HashDataset,
    RebuildDataset,
    VerifyDataset,
    check_folder,
    export_dataset,
    hash_dataset,
    rebuild_dataset,
    verify_dataset,
)
from microservo.application.evaluating import EvaluateAlgorithm, evaluate_algorithm
from microservo.application.evaluation_tasks import (
    ChangeTask,
    ListTasks,
    RequestEvaluation,
    ShowTask,
    WaitForTask,
    change_task,
    list_tasks,
    request_evaluation,
    show_task,
    wait_for_task,
)
from microservo.application.faults import (
    DeclareFault,
    FollowFault,
    ForceFault,
    ListFaults,
    ListKinds,
    RequestFault,
    StopFault,
    WaitForFault,
    declare_fault,
    follow_fault,
    force_fault,
    list_faults,
    list_kinds,
    request_fault,
    stop_fault,
    wait_for_fault,
)
from microservo.application.machine import CheckMachine, check_machine
from microservo.application.manager_commands import (
    FollowControlEvents,
    GiveCommand,
    follow_control_events,
    give_command,
)
from microservo.application.manager_entities import (
    AssociateEntities,
    ListEntities,
    SeedComponents,
    SeedTopology,
    ShowEntity,
    WriteEntity,
    associate_entities,
    list_entities,
    seed_components,
    seed_topology,
    show_entity,
    write_entity,
)
from microservo.application.policies import (
    ComparePolicies,
    DeployPolicy,
    ShowPolicies,
    compare_placement_policies,
    deploy_policy,
    show_policies,
)
from microservo.application.runs import (
    ListReadUntil,
    ListRuns,
    ListWriters,
    RetireService,
    RetireWriter,
    list_read_until,
    list_runs,
    list_writers,
    retire_service,
    retire_writer,
)
from microservo.application.schedules import (
    AddSchedule,
    EditSchedule,
    ListSchedules,
    PauseSchedule,
    PreviewSchedules,
    RemoveSchedule,
    ResumeSchedule,
    ShowSchedule,
    add_schedule,
    edit_schedule,
    list_schedules,
    pause_schedule,
    preview_schedules,
    remove_schedule,
    resume_schedule,
    show_schedule,
)
from microservo.application.topics import (
    EnsureTopics,
    ListTopics,
    Subscribe,
    ensure_topics,
    list_topics,
    subscribe,
)
from microservo.application.topologies import (
    ListTopologies,
    ShowTopology,
    list_topologies,
    show_topology,
)

T = TypeVar("T")

HANDLERS: Mapping[type[Command[Any]], Callable[[Any, Context], Any]] = {
    RequestFault: request_fault,
    DeclareFault: declare_fault,
    ForceFault: force_fault,
    StopFault: stop_fault,
    ListFaults: list_faults,
    FollowFault: follow_fault,
    WaitForFault: wait_for_fault,
    ListKinds: list_kinds,
    AddSchedule: add_schedule,
    ListSchedules: list_schedules,
    ShowSchedule: show_schedule,
    PreviewSchedules: preview_schedules,
    PauseSchedule: pause_schedule,
    ResumeSchedule: resume_schedule,
    EditSchedule: edit_schedule,
    RemoveSchedule: remove_schedule,
    PlanCampaign: plan_of_campaign,
    RunCampaign: run_campaign,
    ResumeCampaign: resume_campaign,
    ReportCampaign: report_campaign,
    ListCampaigns: list_campaigns,
    ListShippedCampaigns: list_shipped_campaigns,
    Subscribe: subscribe,
    ListTopics: list_topics,
    EnsureTopics: ensure_topics,
    ListRuns: list_runs,
    ListReadUntil: list_read_until,
    ListWriters: list_writers,
    RetireWriter: retire_writer,
    RetireService: retire_service,
    CheckFolder: check_folder,
    RebuildDataset: rebuild_dataset,
    VerifyDataset: verify_dataset,
    HashDataset: hash_dataset,
    ExportDataset: export_dataset,
    BuildDataset: build_dataset,
    DeleteDataset: delete_dataset,
    DescribeDataset: describe_dataset,
    DownloadDataset: download_dataset,
    ListDatasets: list_datasets,
    PreviewDataset: preview_dataset,
    ResumeDatasetBuild: resume_dataset_build,
    ShowDataset: show_dataset,
    SplitDataset: split_dataset,
    StartDatasetBuild: start_dataset_build,
    TagDataset: tag_dataset,
    CheckCluster: check_cluster,
    CheckMachine: check_machine,
    ListEntities: list_entities,
    ShowEntity: show_entity,
    WriteEntity: write_entity,
    AssociateEntities: associate_entities,
    SeedTopology: seed_topology,
    SeedComponents: seed_components,
    GiveCommand: give_command,
    FollowControlEvents: follow_control_events,
    ShowPolicies: show_policies,
    DeployPolicy: deploy_policy,
    ComparePolicies: compare_placement_policies,
    ListTopologies: list_topologies,
    ShowTopology: show_topology,
    DeployAlgorithm: deploy_algorithm,
    WaitForAlgorithm: wait_for_algorithm,
    ReadAlgorithmLogs: read_algorithm_logs,
    ListAlgorithms: list_algorithms,
    StartAlgorithm: start_algorithm,
    StopAlgorithm: stop_algorithm,
    RemoveAlgorithm: remove_algorithm,
    ListAlgorithmKinds: list_algorithm_kinds,
    CheckAlgorithm: check_algorithm,
    TryAlgorithm: try_algorithm,
    InitProject: init_project,
    EvaluateAlgorithm: evaluate_algorithm,
    RequestEvaluation: request_evaluation,
    ListTasks: list_tasks,
    ShowTask: show_task,
    ChangeTask: change_task,
    WaitForTask: wait_for_task,
    ShowBoard: show_board,
    CompareAlgorithms: compare_algorithms,
    CountMedals: count_medals,
    ExportBoard: export_board,
}
"""What carries out each command."""


def execute(command: Command[T], context: Context) -> T:
    """What comes of a command.

    Raises:
        MicroServoError: it can't be carried out; `InvalidInput` if nothing was touched.
    """
    return cast("T", HANDLERS[type(command)](command, context))
