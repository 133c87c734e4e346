"""The shipped classifier, taught by a recorded run of a real system, on faults that it never saw."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from algorithm_system import environments_of_tests
from sampled_run import JUDGED, LEARNED, write_runs

from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.processes import child_environment
from microservo.errors import Unavailable
from microservo.supervision.environment_build import pip_variables
from microservo.supervision.fence import Fence

pytestmark = pytest.mark.integration

PREFIX = f"taught-{os.getpid()}-"
KINDS = 11


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
    command += ["--topic-prefix", PREFIX, "algorithm", "evaluate", "gradient-boosting", "--json", *arguments]
    environment = {**pip_variables(), "MICROSERVO_HOME": str(home)}
    return subprocess.run(
        command,
        env=child_environment(environment),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def test_it_tells_kinds_of_failure_apart_that_it_was_taught_by_another_run(
    home: Path, kafka_bootstrap_servers: str
) -> None:
    result = evaluate(home, kafka_bootstrap_servers, "--train-on", LEARNED, "--run", JUDGED)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    values = dict(zip(found["metrics"], found["values"], strict=True))
    assert found["cases"] == KINDS
    # One fault of each kind, seen twice, is little to learn from; by chance it is one of eleven.
    assert values["micro_f1"] >= 3 / KINDS


def test_it_is_refused_on_the_run_that_taught_it_and_says_so(
    home: Path, kafka_bootstrap_servers: str
) -> None:
    result = evaluate(home, kafka_bootstrap_servers, "--train-on", LEARNED, "--run", LEARNED)
    assert result.returncode == 2
    assert f"it was trained on run '{LEARNED}', the one that it would be judged on" in result.stderr
