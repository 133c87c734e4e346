"""Records the sample that is shipped with the package.

It starts a system of its own, leaves it alone until its caches are full and some minutes more, injects
every kind of fault that does something to a service of it, and keeps what algorithms read, with the truth
apart. That takes an hour, in which the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from microservo.adapters.broker import Broker
from microservo.algorithms.sample import RUN_ID, SAMPLE, Effect, Sample
from microservo.cli.output import console
from microservo.cli.progress import TerminalProgress
from microservo.cli.signals import handled_signals
from microservo.domain.campaigns.definition import Definition, LoadStep
from microservo.domain.campaigns.plan import CampaignPlan, plan_campaign
from microservo.domain.campaigns.target import CampaignTarget
from microservo.log.run_facts import newest_effects, newest_truth, records_of_run
from microservo.log.runs import find_run
from microservo.platforms.local.mechanisms import kinds_of_local_targets
from microservo.platforms.local.topology_files import read_topology
from microservo.system import EmbeddedSystem, SystemOptions
from microservo.system.count_down import count_down
from schemas.catalogue import FEATURE_WINDOWS, SERVICE_GRAPH
from schemas.records import FaultEvent, FeatureWindow, ServiceGraph

COMMAND = "python -m benchmarks.sample"
_SETTLE_S = 60.0
"""So long the caches of a target that was just started fill: nothing of that is kept."""
_DRAIN_MARGIN_S = 3.0
_DURATION_US = (12_000_000, 15_000_000)
"""Two windows lie in each fault, or three: of one alone, rankers that compare windows can say nothing."""
_GAP_US = (13_000_000, 15_000_000)


def record(options: SystemOptions, faults: int, folder: Path) -> int:
    """Runs a campaign on a system of its own, writes the sample, and returns how many bytes it takes.

    Raises:
        Unavailable: a part of the system did not get ready, or a fault has no event.
    """
    progress = TerminalProgress(console())
    policy = options.policy
    system = EmbeddedSystem(options, progress)
    with handled_signals(system.kill), system:
        system.start()
        count_down(progress, "without faults", options.fault_free_s)
        plan = _plan(options, faults)
        system.client.campaigns.run(plan, progress=progress)
        drain_s = (policy.final_cut_us + policy.size_us) / 1e6 + _DRAIN_MARGIN_S
        count_down(progress, "late records, until every window is final", drain_s)
        system.finish_run()
        events = [each for each in system.client.faults.list() if each.run_id == system.run_id]
        system.stop_processes()
        with progress.stage("sample") as stage:
            sample = sample_of(system.broker, options.topic_prefix, system.run_id, events)
            size_bytes = sample.write(folder)
            stage.show(f"{len(sample.windows)} windows, {size_bytes / 2**20:.1f} MiB in {folder}")
    return size_bytes


def _plan(options: SystemOptions, faults: int) -> CampaignPlan:
    definition = Definition(
        name="sample",
        seed=options.seed,
        load=(LoadStep(at_us=0, journeys_per_s=options.journeys_per_s),),
        count=faults,
        duration_us=_DURATION_US,
        gap_us=_GAP_US,
    )
    target = CampaignTarget.of(read_topology(options.topology))
    return plan_campaign(definition, target, kinds_of_local_targets())


def sample_of(broker: Broker, topic_prefix: str, run_id: str, events: Sequence[FaultEvent]) -> Sample:
    """The sample of a run that lies on a broker.

    Args:
        broker: where it lies.
        topic_prefix: put before every topic name.
        run_id: the run.
        events: the newest events of its faults.
    """
    run = find_run(broker, run_id, topic_prefix).run
    graphs = records_of_run(broker, topic_prefix, run_id, SERVICE_GRAPH)
    settled_us = run.started_at_us + round(1e6 * _SETTLE_S)
    windows = _first_revisions(records_of_run(broker, topic_prefix, run_id, FEATURE_WINDOWS), settled_us)
    kept = {(each.service, each.start_us) for each in windows}
    truth = newest_truth(broker, topic_prefix, run_id)
    about = {
        "command": COMMAND,
        "seed": run.seed,
        "target": run.target,
        "window_us": run.window_us,
        "first_cut_us": run.first_cut_us,
        "started_at_us": run.started_at_us,
        "fault_free_until_us": run.fault_free_until_us,
        "loads": [asdict(each) for each in run.loads],
        "machines": [asdict(each) for each in run.machines],
        "versions": dict(run.versions),
        "faults": dict(
            sorted(Counter(each.kind for each in events if each.applied_at_us is not None).items())
        ),
    }
    return Sample(
        about=about,
        windows=windows,
        edges=_edges(graphs),
        truth={window: value for window, value in truth.items() if window in kept},
        effects=list(_effects(broker, topic_prefix, run_id, events)),
    )


def _first_revisions(records: Iterable[object], from_us: int) -> list[FeatureWindow]:
    """What algorithms were given from an instant on, by instant and service, each window once."""
    found: dict[tuple[int, str], FeatureWindow] = {}
    for each in records:
        if isinstance(each, FeatureWindow) and each.revision == 0 and each.start_us >= from_us:
            found.setdefault((each.start_us, each.service), replace(each, run_id=RUN_ID))
    return [found[key] for key in sorted(found)]


def _edges(records: Iterable[object]) -> list[tuple[str, str, int]]:
    """Who called whom, and since when that was known."""
    since_us: dict[tuple[str, str], int] = {}
    for graph in records:
        if isinstance(graph, ServiceGraph):
            for edge in zip(graph.callers, graph.callees, strict=True):
                since_us[edge] = min(graph.end_us, since_us.get(edge, graph.end_us))
    return [(caller, callee, at_us) for (caller, callee), at_us in sorted(since_us.items())]


def _effects(
    broker: Broker, topic_prefix: str, run_id: str, events: Sequence[FaultEvent]
) -> Iterator[Effect]:
    """Where each fault was seen, by fault and service."""
    faults = {event.fault_id: event for event in events if event.applied_at_us is not None}
    for (fault_id, service), found in sorted(newest_effects(broker, topic_prefix, run_id).items()):
        fault = faults.get(fault_id)
        if fault is None or fault.applied_at_us is None or found.finding != "visible" or not found.starts_us:
            continue
        yield Effect(
            fault_id=fault_id,
            kind=fault.kind,
            root_service=fault.service,
            service=service,
            severity=fault.severity or 0.0,
            start_us=found.starts_us[0],
            # A record that deviates alone has no length.
            end_us=max(found.ends_us[-1], found.starts_us[0] + 1),
            applied_us=fault.applied_at_us,
        )


def main() -> int:
    """Records the sample."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--out", type=Path, default=SAMPLE, help="folder to write it to")
    parser.add_argument("--faults", type=int, default=100, help="how many; all kinds in turn")
    parser.add_argument("--fault-free", type=float, default=420.0, help="seconds before the first one")
    parser.add_argument("--seed", type=int, default=7, help="of everything random in the run")
    parser.add_argument("--journeys-per-s", type=float, default=8.0, help="users' journeys per second")
    arguments = parser.parse_args()
    options = SystemOptions(
        name="sample",
        seed=arguments.seed,
        journeys_per_s=arguments.journeys_per_s,
        fault_free_s=arguments.fault_free,
        algorithms=(),
    )
    record(options, arguments.faults, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
