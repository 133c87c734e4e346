"""The scripted run: faults one after another on a running system, then the dataset of it all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from microservo.adapters.clock import now_us
from microservo.application.following import POLL_S, FollowedFault
from microservo.application.progress import Progress, Stage
from microservo.client import Client
from microservo.domain.campaign import CampaignFault, campaign, requests_per_journey
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput, Unavailable
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
_IDLE_PER_S = 1.0
"""With fewer requests than these, a fault of some seconds meets too few to show."""
_GRACE_S = 60.0
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
        self, system: EmbeddedSystem, progress: Progress, *, plan: list[CampaignFault], out_dir: Path
    ) -> None:
        self._system = system
        self._client = system.client
        self._progress = progress
        self._out_dir = out_dir
        self.plan = plan

    def run(self) -> DemoResult:
        """Warm-up, campaign, drain, dataset.

        Raises:
            Unavailable: a fault has no event.
        """
        policy = self._system.options.policy
        self._system.declare_plan(self.plan)
        left_s = (self._system.fault_free_until_us - now_us()) / 1e6
        count_down(self._progress, "without faults, to find thresholds in", max(0.0, left_s))
        run_campaign(self._client, self._system.run_id, self.plan, self._progress)
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


def plan_of(options: SystemOptions, faults: int, *, is_balanced: bool = False) -> list[CampaignFault]:
    """A campaign of all kinds over all services of a system, for its load; balanced as `campaign` says."""
    # The control shows nothing; it is there for those who ask for it.
    kinds = [name for name in KINDS if name != "noop"]
    topology = read_topology(options.topology)
    load = requests_per_journey(topology)
    idle = [name for name, requests in load.items() if requests * options.journeys_per_s < _IDLE_PER_S]
    callers = topology.callers() if is_balanced else None
    return campaign(options.seed, kinds, list(load), faults, idle=idle, callers=callers)


def run_campaign(client: Client, run_id: str, plan: list[CampaignFault], progress: Progress) -> None:
    """Injects the faults of a plan, each after the one before has recovered and its quiet time has passed.

    Raises:
        Unavailable: a fault has no event.
    """
    for number, fault in enumerate(plan, start=1):
        id_ = fault_id(run_id, number, fault)
        parameters = "".join(f" {name}={value}" for name, value in fault.parameters.items())
        title = f"fault {number}/{len(plan)}: {fault.kind} on {fault.service}{parameters}"
        with progress.stage(title) as stage:
            client.faults.request(
                fault.kind,
                service=fault.service,
                duration=f"{fault.duration_s}s",
                parameters=fault.parameters,
                fault_id=id_,
            )
            with client.faults.follow(id_) as followed:
                _Watch(fault, followed, stage).until_quiet()


def fault_id(run_id: str, number: int, fault: CampaignFault) -> str:
    """The id of a fault of a plan; the end of the run's keeps faults apart on a broker of many demos."""
    return f"{fault.kind}-{run_id[-11:]}-{number}"


class _Watch:
    """Follows one fault to its end and through the quiet time after it."""

    def __init__(self, fault: CampaignFault, followed: FollowedFault, stage: Stage) -> None:
        self._fault = fault
        self._followed = followed
        self._stage = stage
        self._begin_s = time.monotonic()
        self._over_s: float | None = None

    def until_quiet(self) -> None:
        """Returns when the quiet time is over."""
        limit_s = self._fault.duration_s + _GRACE_S
        while not self._is_quiet():
            self._followed.poll(POLL_S)
            now_s = time.monotonic()
            if self._over_s is None and self._followed.is_over:
                self._over_s = now_s
            if self._over_s is None and now_s - self._begin_s > limit_s:
                fault_id = self._followed.fault_id
                msg = f"fault {fault_id} was not over after {limit_s:g} s; is the injector running?"
                raise Unavailable(msg)
            self._show()
        self._stage.show(summary(self._followed.newest))

    def _is_quiet(self) -> bool:
        return self._over_s is not None and time.monotonic() - self._over_s >= self._fault.gap_s

    def _show(self) -> None:
        total_s = self._fault.duration_s + self._fault.gap_s
        if self._over_s is None:
            done_s = min(time.monotonic() - self._begin_s, self._fault.duration_s)
            left = f"{self._fault.duration_s - done_s:.0f} s left"
        else:
            quiet_s = time.monotonic() - self._over_s
            done_s = self._fault.duration_s + quiet_s
            left = f"quiet for {max(0.0, self._fault.gap_s - quiet_s):.0f} s"
        self._stage.advance(done_s, total_s)
        self._stage.show(f"{summary(self._followed.newest)}, {left}")


_TIMES: Mapping[str, str] = {
    "applied_at_us": "applied",
    "effect_seen_at_us": "effect",
    "recovered_at_us": "recovered",
}


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
