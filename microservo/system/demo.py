"""The scripted run: a small campaign on a system of its own, then the dataset of it all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from microservo.adapters.clock import now_us
from microservo.application.progress import Progress
from microservo.domain.campaigns.definition import Definition, LoadStep
from microservo.domain.campaigns.plan import CampaignPlan, plan_campaign
from microservo.domain.campaigns.target import CampaignTarget
from microservo.errors import InvalidInput
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from microservo.platforms.local.topology_files import read_topology
from microservo.system.count_down import count_down
from microservo.system.embedded import EmbeddedSystem
from microservo.system.options import SystemOptions
from microservo.system.said import Said, what_each_said
from schemas.records import FaultEvent

if TYPE_CHECKING:
    from microservo.domain.evaluation.board import Board

DETECTORS = ("n-sigma", "robust-z", "half-space-trees", "log-surprise", "trace-deviation", "random")
RANKERS = ("multi-signal", "random-walk", "random-ranker")
ALGORITHMS = (*DETECTORS, *RANKERS)
"""What a demo deploys: what is quick, on every kind of signal, with chance as a control of each task."""
ALGORITHMS_TIMEOUT_S = 300.0
"""The first time, an environment is built."""
FAULT_FREE_S = 180.0
"""Detectors that settle first score nothing, or oddly, for the first one to two minutes."""
ALARMS_PER_HOUR = 30.0
"""One in two minutes: fewer can't be told from so short a time, and a threshold would be a guess."""
_DRAIN_MARGIN_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What came of a demo.

    Attributes:
        faults: the newest event of each.
        boards: how good each algorithm was in the run, by task; none where no window could be judged.
        said: which of the faults alarms met.
        out_dir: the dataset.
        content_hash: of the dataset.
        problems: what is wrong with it.
    """

    faults: list[FaultEvent]
    boards: tuple[Board, ...]
    said: Said
    out_dir: Path
    content_hash: str
    problems: tuple[str, ...]


class Demo:
    """Runs a campaign on a system that was started.

    Args:
        plan: the faults.
        out_dir: where the dataset goes.
    """

    def __init__(
        self, system: EmbeddedSystem, progress: Progress, *, plan: CampaignPlan, out_dir: Path
    ) -> None:
        self._system = system
        self._client = system.client
        self._progress = progress
        self._out_dir = out_dir
        self.plan = plan

    def run(self) -> DemoResult:
        """Warm-up, campaign, drain, dataset.

        Raises:
            CampaignAborted: a fault was never over.
        """
        policy = self._system.options.policy
        left_s = (self._system.fault_free_until_us - now_us()) / 1e6
        count_down(self._progress, "without faults, to find thresholds in", max(0.0, left_s))
        self._client.campaigns.run(self.plan, progress=self._progress)
        drain_s = (policy.final_cut_us + policy.size_us) / 1e6 + _DRAIN_MARGIN_S
        count_down(self._progress, "late records, until every window is final", drain_s)
        with self._progress.stage("end of the run") as stage:
            self._system.finish_run()
            faults = [event for event in self._client.faults.list() if event.run_id == self._system.run_id]
            self._system.stop_processes()
            stage.show("target and pipeline stopped")
        return self._make_dataset(faults)

    def _boards(self) -> tuple[Board, ...]:
        """What the evaluator said last, which it does before it stops; none if it judged nobody."""
        with self._progress.stage("board") as stage:
            try:
                found = self._client.board.show(self._system.run_id)
            except InvalidInput as error:
                # The dataset is worth as much without.
                stage.show(str(error))
                return ()
            stage.show("final" if all(each.is_final for each in found) else "not final")
        return found

    def _said(self) -> Said:
        deployed = [each.deployment for each in self._client.algorithms.list()]
        return what_each_said(
            self._system.broker,
            self._system.options.topic_prefix,
            self._system.run_id,
            [each.algorithm for each in deployed if each.is_wanted and each.task == "detector"],
        )

    def _make_dataset(self, faults: list[FaultEvent]) -> DemoResult:
        with self._progress.stage("dataset") as stage:
            manifest = self._client.datasets.rebuild(self._system.run_id, self._out_dir, stage.advance)
            stage.show(f"{manifest.content_hash[:16]}… in {self._out_dir}")
        with self._progress.stage("verification") as stage:
            problems = self._client.datasets.verify(self._out_dir)
            stage.show(f"{len(problems)} problems" if problems else "every file and the ledger hold")
        return DemoResult(
            faults=faults,
            boards=self._boards(),
            said=self._said(),
            out_dir=self._out_dir,
            content_hash=manifest.content_hash,
            problems=problems,
        )


def plan_of(options: SystemOptions, faults: int, *, is_balanced: bool = False) -> CampaignPlan:
    """A campaign of all kinds over all services of a system, for its load; balanced as `campaign` says."""
    definition = Definition(
        name="demo",
        seed=options.seed,
        load=(LoadStep(at_us=0, journeys_per_s=options.journeys_per_s),),
        count=faults,
        is_balanced=is_balanced,
    )
    return plan_campaign(
        definition, CampaignTarget.of(read_topology(options.topology)), kinds_of_local_targets()
    )
