from __future__ import annotations

from pathlib import Path

import pytest

from microservo.application.algorithm_checks import CheckAlgorithm, TryAlgorithm
from microservo.application.command import Context
from microservo.application.connection import Connection
from microservo.application.table import execute

NOTHING: dict[str, list[str]] = {"requires": []}
"""No environment has to be built, since nothing is run."""
MINE = """
class Mine:
    def score_one(self, x):
        return max(x.values())
    def learn_one(self, x):
        pass
"""


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("MICROSERVO_HOME", str(tmp_path / "home"))
    return Context(_no_connection)


def test_an_algorithm_is_tried_beside_what_it_has_to_beat(context: Context, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    spec = str(tmp_path / "mine.py")
    found = execute(TryAlgorithm(spec=spec, is_fenced=False), context)
    assert list(found) == [spec, "n-sigma", "random"]
    assert found["n-sigma"].values["auc_pr"] > found["random"].values["auc_pr"]


def test_a_classifier_is_checked_and_not_tried(context: Context) -> None:
    assert execute(TryAlgorithm(spec="gradient-boosting", is_fenced=False, declared=NOTHING), context) == {}


def test_a_check_needs_no_broker_and_says_what_does_not_hold(context: Context, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE.replace("max(x", "-max(x"))
    results = execute(CheckAlgorithm(spec=str(tmp_path / "mine.py"), is_fenced=False), context)
    (failed,) = (each.name for each in results if not each.ok)
    assert failed == "an odd window outscores the median of normal ones"


def _no_connection() -> Connection:
    pytest.fail("a check needs no broker")
