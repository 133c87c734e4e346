"""The shipped classifier, taught by a recorded run of a real system, on faults that it never saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from algorithm_system import environments_of_tests
from sampled_run import JUDGED, LEARNED, split, write_runs

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.processes import child_environment
from microservo.algorithms.sample import Sample
from microservo.errors import Unavailable
from microservo.supervision.environment_build import pip_variables
from microservo.supervision.fence import Fence

pytestmark = pytest.mark.integration

PREFIX = f"taught-{os.getpid()}-"
JUDGED_FAULTS = len(split(Sample.read())[JUDGED])
"""Of the recorded run, those of a kind that was visible before."""


@pytest.fixture(scope="module")
def home(kafka_broker: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With both runs on the broker."""
    try:
        Fence.find()
    except Unavailable as error:
        pytest.skip(str(error))
    write_runs(kafka_broker, PREFIX)
    folder = tmp_path_factory.mktemp("home")
    environments = environments_of_tests()
    environments.mkdir(parents=True, exist_ok=True)
    (folder / "environments").symlink_to(environments)
    return folder


def evaluate(home: Path, servers: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("microservo")), "--bootstrap-servers", servers]
    command += ["--topic-prefix", PREFIX, "algorithm", "evaluate", *arguments, "--json"]
    environment = {**pip_variables(), "MICROSERVO_HOME": str(home)}
    return subprocess.run(
        command,
        env=child_environment(environment),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def micro_f1(home: Path, servers: str, name: str) -> float:
    """The share of the next faults that it told right, once a fault of each kind has taught it."""
    result = evaluate(home, servers, name, "--train-on", LEARNED, "--run", JUDGED)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["cases"], found["scored"]) == (JUDGED_FAULTS, JUDGED_FAULTS)
    values = dict(zip(found["metrics"], found["values"], strict=True))
    assert values.keys() == {"macro_f1", "micro_f1", "weighted_f1"}
    return float(values["micro_f1"])


def test_taught_by_one_fault_of_each_kind_it_tells_more_of_the_next_right_than_the_controls(
    home: Path, kafka_bootstrap_servers: str
) -> None:
    right, *controls = (
        micro_f1(home, kafka_bootstrap_servers, name)
        for name in ("gradient-boosting", "majority", "random-classifier")
    )
    # Of some fifty kinds, of which chance tells one in fifty.
    assert right >= 0.15
    assert right >= 3 * max(controls)


def test_it_is_refused_on_the_run_that_taught_it_and_says_so(
    home: Path, kafka_bootstrap_servers: str
) -> None:
    result = evaluate(
        home, kafka_bootstrap_servers, "gradient-boosting", "--train-on", LEARNED, "--run", LEARNED
    )
    assert result.returncode == 2
    assert f"it was trained on run '{LEARNED}', the one that it would be judged on" in result.stderr
