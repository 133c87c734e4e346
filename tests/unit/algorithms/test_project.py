import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from microservo.algorithms import resolve
from microservo.algorithms.project import write_project
from microservo.errors import InvalidInput
from microservo.testing import try_algorithm


def test_a_new_project_has_a_test_that_passes_without_a_system(tmp_path: Path) -> None:
    files = write_project(tmp_path / "mine")
    assert [path.name for path in files] == ["algorithm.toml", "my_detector.py", "test_my_detector.py"]
    assert resolve(str(tmp_path / "mine")).declaration.object == "my_detector:MyDetector"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "mine")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "2 passed" in done.stdout, done.stdout


def test_the_algorithm_to_begin_with_finds_far_more_than_chance(tmp_path: Path) -> None:
    write_project(tmp_path / "mine")
    assert try_algorithm(str(tmp_path / "mine")).values["lift_over_random"] > 3


def test_the_scores_to_begin_with_stay_small_where_a_feature_that_was_never_zero_becomes_it(
    tmp_path: Path,
) -> None:
    write_project(tmp_path / "mine")
    namespace = runpy.run_path(str(tmp_path / "mine" / "my_detector.py"))
    detector = namespace["MyDetector"]()
    for _ in range(30):
        detector.learn_one({"metric/process.memory.usage/mean": 3e8})
    assert 1 < detector.score_one({"metric/process.memory.usage/mean": 0.0}) < 1000


def test_what_lies_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    for folder in (tmp_path, tmp_path / "mine.py"):
        with pytest.raises(InvalidInput, match="is not empty; name a folder"):
            write_project(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]
