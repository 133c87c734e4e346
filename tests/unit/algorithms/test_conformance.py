"""The suite on what is shipped without a library, and on what must not pass it."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservo.algorithms.kinds import kinds
from microservo.testing import check_algorithm

OWN = {kind.name: kind.plugin.declaration.task for kind in kinds() if not kind.plugin.declaration.requires}
CHECKS = {"detector": 11, "ranker": 5, "classifier": 3}


@pytest.mark.parametrize("name", OWN)
def test_what_is_shipped_keeps_to_all(name: str) -> None:
    results = check_algorithm(name)
    assert len(results) == CHECKS[OWN[name]]
    assert all(each.ok for each in results)


GOOD = """
class Good:
    def __init__(self): self.mean, self.seen = {}, 0
    def score_one(self, x):
        return sum(abs(value - self.mean.get(name, value)) for name, value in x.items())
    def learn_one(self, x):
        self.seen += 1
        for name, value in x.items():
            self.mean[name] = self.mean.get(name, value) + (value - self.mean.get(name, value)) / self.seen
"""
HEAD = "import math, os, random, time\n"


def test_ten_lines_keep_to_all(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    check_algorithm(str(tmp_path / "good.py"))


def test_a_wrong_sign_can_be_turned_by_the_declaration(tmp_path: Path) -> None:
    (tmp_path / "turned.py").write_text(GOOD.replace("return sum(", "return -sum("))
    check_algorithm(str(tmp_path / "turned.py"), {"sign": -1})


@pytest.mark.parametrize(
    ("change", "to", "words"),
    [
        ("return sum(", "return -sum(", "an odd window outscores.*sign = -1"),
        ("return sum(", "return math.nan + sum(", "scores are numbers once it is ready"),
        ("return sum(", "return random.SystemRandom().random() + sum(", "the same seed gives the same"),
        ("return sum(", "return id(x) % 1000 * 1e-9 + sum(", "the same seed gives the same"),
        ("return sum(", "self.seen += 1; return self.seen * 1e9 + sum(", "never change never alarm"),
        (
            "score_one(self, x):",
            "score_one(self, x):\n        self.learn_one(x)",
            "changes nothing.*learned from in",
        ),
        ("return sum(", "self.seen += 1; return sum(", "changes nothing.*had been scored before"),
        ("return sum(", "time.sleep(0.2); return sum(", "scored in time.*expected at most half"),
        ("return sum(", "return x['metric/none'] + sum(", "KeyError"),
        ("self.seen += 1", "self.seen += 1; self.mean[str(self.seen) * 600] = 0.0", "memory does not grow"),
        ("return sum(", "return 'high' or sum(", "'high' .str.; expected one number"),
        ("class Good:", "os._exit(3)\nclass Good:", "it can be opened: the process of the algorithm ended"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_the_reason(
    tmp_path: Path, change: str, to: str, words: str
) -> None:
    path = tmp_path / "bad.py"
    path.write_text(HEAD + GOOD.replace(change, to))
    deadline = 0.35 if "sleep" in to else 1.0
    with pytest.raises(AssertionError, match=words):
        check_algorithm(str(path), {"deadline": deadline})


def test_a_ranker_of_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("def blame(data, inject_time, dataset=None): return {'ranks': ['moon']}")
    with pytest.raises(AssertionError, match="it ranked 'moon'; expected services or columns"):
        check_algorithm(str(tmp_path / "bad.py"), {"deadline": 10})


def test_a_ranker_that_ranks_by_chance_is_refused_unless_it_is_declared_as_a_control(tmp_path: Path) -> None:
    code = "def blame(data, inject_time, dataset=None, *, services): return {'ranks': sorted(services)}"
    (tmp_path / "bad.py").write_text(code)
    with pytest.raises(AssertionError, match="payment, is not among the first two of cart, checkout"):
        check_algorithm(str(tmp_path / "bad.py"), {"deadline": 10})
    check_algorithm(str(tmp_path / "bad.py"), {"deadline": 10, "control": True})
