"""An imported run is judged like any other: by the same windows, through the same fence, on a board."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest
from algorithm_system import environments_of_tests
from evaluator_processes import evaluators
from foreign_recordings import AT_S, S
from stream_processor import Pipeline

from microservo import Client
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.processes import child_environment
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.domain.evaluation.board import Board
from microservo.errors import Unavailable
from microservo.log.reader import read_topic
from microservo.log.runs import runs
from microservo.supervision.environment_build import pip_variables
from microservo.supervision.fence import Fence
from microservo.testing import eventually
from schemas.catalogue import LABELLED_WINDOWS
from schemas.codec import decode
from schemas.records import LabelledWindow

pytestmark = pytest.mark.integration

SECONDS, BEGIN_OF_FAULT_S, SIZE_S = 900, 720, 5
SERVICES = ("ad", "cart", "checkout", "email", "front", "search")


def write_case(case: Path) -> None:
    """A leak of memory in one of six services, as RCAEval has it: from a second on, without an end."""
    case.mkdir(parents=True)
    (case / "inject_time.txt").write_text(f"{AT_S + BEGIN_OF_FAULT_S}\n")
    chance = random.Random(7)
    kinds = ("cpu", "mem")
    lines = [",".join(("time", *(f"{service}_{kind}" for service in SERVICES for kind in kinds)))]
    for second in range(SECONDS):
        leaked = max(0, second - BEGIN_OF_FAULT_S) * 4.0
        values = [
            100 + chance.gauss(0, 1) + (leaked if (service, kind) == ("cart", "mem") else 0)
            for service in SERVICES
            for kind in kinds
        ]
        lines.append(",".join((str(AT_S + second), *(f"{each:.3f}" for each in values))))
    (case / "simple_metrics.csv").write_text("\n".join(lines) + "\n")


def test_a_detector_is_judged_on_an_imported_run_and_random_stands_below_it(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    try:
        Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))
    servers = kafka_broker.settings.bootstrap_servers
    patient = {"MICROSERVO_SILENCE_S": "600"}
    pipeline = Pipeline(kafka_broker, topic_prefix, tmp_path, partitions=1, environment=patient)
    environment = {
        **pip_variables(),
        "MICROSERVO_BOOTSTRAP_SERVERS": servers,
        "MICROSERVO_TOPIC_PREFIX": topic_prefix,
        "MICROSERVO_HOME": str(tmp_path / "home"),
        "MICROSERVO_ENVIRONMENTS": str(environments_of_tests()),
    }
    write_case(tmp_path / "RE2-OB" / "cart_mem" / "1")
    command = [str(Path(sys.executable).with_name("microservo")), "--topic-prefix", topic_prefix]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments],
            env=child_environment(environment),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    with pipeline.workers():
        run_id = run("dataset", "import", str(tmp_path / "RE2-OB")).strip()
        (imported,) = runs(kafka_broker, topic_prefix)
        assert (imported.run_id, imported.status) == (run_id, "finished")
        # What is rebuilt is compared with what was written live by then.
        eventually(
            lambda: len(newest_truths(kafka_broker, topic_prefix)) == SECONDS // SIZE_S * len(SERVICES),
            timeout_s=300,
            interval_s=2,
            what="the live windows",
        )
    folder = tmp_path / "dataset"
    rebuild(kafka_broker, run_id=run_id, out_dir=folder, topic_prefix=topic_prefix)
    assert verify(folder) == []
    assert verify_against_live(folder, kafka_broker, topic_prefix) == []
    truths = newest_truths(kafka_broker, topic_prefix)
    assert {service for (service, _), truth in truths.items() if truth == "anomalous"} == {"cart"}
    behind_the_normal = sum(
        start_us + SIZE_S * S > (AT_S + BEGIN_OF_FAULT_S - 1) * S for _, start_us in truths
    )
    at_once = {}
    for name in ("n-sigma", "random"):
        document = json.loads(run("algorithm", "evaluate", name, "--run", run_id, "--json"))
        assert document["is_fenced"]
        assert 0 < document["windows"] <= behind_the_normal, "those that the label says nothing of count"
        (tmp_path / f"{name}.json").write_text(json.dumps(document) + "\n")
        at_once[name] = dict(zip(document["metrics"], document["values"], strict=True))
    shown = run("board", "show", *(f"--file={tmp_path / name}.json" for name in at_once), "--scenario", "all")
    assert shown.index("n-sigma") < shown.index("random")

    client = Client(servers, topic_prefix=topic_prefix)
    for name in at_once:
        client.algorithms.deploy(name)
    judged_by = {**environment, "MICROSERVO_RUN_ID": run_id}
    with evaluators(judged_by, tmp_path) as started:
        started.start()
        for name, metrics in at_once.items():
            found = client.tasks.wait(client.tasks.request(name, run_id).task_id).evaluation
            assert found is not None
            assert {
                metric: None if math.isnan(value) else value
                for metric, value in zip(found.metrics, found.values, strict=True)
            } == metrics, "what a task finds is what is found at once"
        started.end_all()
    (board,) = client.board.show(run_id)
    check_board(board)


def newest_truths(broker: KafkaBroker, prefix: str) -> dict[tuple[str, int], str]:
    """The truth of each window, by its last revision."""
    found: dict[tuple[str, int], LabelledWindow] = {}
    for message in read_topic(broker, prefix + LABELLED_WINDOWS):
        window = decode(message.value) if message.value else None
        if isinstance(window, LabelledWindow):
            at = window.service, window.start_us
            if at not in found or found[at].revision <= window.revision:
                found[at] = window
    return {at: each.truth for at, each in found.items()}


def check_board(board: Board) -> None:
    by_name = {row.name: row for row in board.rows}
    detector, chance = by_name["n-sigma@1"], by_name["random@1"]
    assert board.task == "detector"
    assert (detector.rank, detector.medal) == (1, "gold")
    assert chance.evaluation.is_control
    assert chance.medal is None
    first = board.metrics[0].name
    assert detector.values[first] > 1.5 * chance.values[first]
    assert detector.values["lift_over_random"] > 1.5, "of chance it is 1"
    assert detector.evaluation.cases == 1
