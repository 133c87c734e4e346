"""A real process at the other end, without a fence; and other ends that misbehave."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microservo.algorithms import Case, Declaration, Session, resolve
from microservo.algorithms.fenced import frames
from microservo.algorithms.pipe import FilePipe
from microservo.algorithms.unfenced import ENVIRONMENT, FENCED, unfenced_session
from microservo.errors import (
    AlgorithmEnded,
    AlgorithmFailed,
    AlgorithmRefused,
    BadAnswer,
    DeadlineExceeded,
    InvalidInput,
)

NAMES = ("log/severity/error", "metric/cpu/mean")
DETECTOR = Declaration(object="made.up:Thing", deadline_s=0.5)


@contextmanager
def running(folder: Path, code: str, **overrides: Any) -> Iterator[Session]:
    path = folder / "mine.py"
    path.write_text(code)
    with unfenced_session(resolve(str(path), overrides)) as session:
        session.open()
        yield session


def windows(count: int = 10) -> Any:
    return np.random.default_rng(3).normal(size=(count, 2))


SUM = """
import random
class Sum:
    def __init__(self, scale=1.0, seed=0):
        self.scale, self.seed, self.seen = scale, seed, 0
    def score_one(self, x):
        print("not between the frames")
        return self.scale * sum(x.values()) + self.seen
    def learn_one(self, x):
        self.seen += 1
"""


def test_what_an_algorithm_prints_does_not_get_between_the_answers(tmp_path: Path) -> None:
    with running(tmp_path, SUM, features="raw", params={"scale": 2.0}) as session:
        found = session.score("cart", NAMES, windows(5))
    assert found.scores.tolist() == [2 * sum(row) + at for at, row in enumerate(windows(5).tolist())]
    assert found.cpu_us >= 0


def test_services_do_not_mix_and_learning_alone_counts(tmp_path: Path) -> None:
    with running(tmp_path, SUM, features="raw") as session:
        session.learn("cart", NAMES, windows(3))
        zero = np.zeros((1, 2))
        assert session.score("cart", NAMES, zero).scores.tolist() == [3.0]
        assert session.score("payment", NAMES, zero).scores.tolist() == [0.0]


def test_only_declared_signals_are_delivered(tmp_path: Path) -> None:
    code = "class Names:\n    def score_one(self, x): return float('metric/cpu/mean' in x) + 2 * len(x)\n"
    code += "    def learn_one(self, x): ...\n"
    with running(tmp_path, code, features="raw", signals=["logs"]) as session:
        assert session.score("cart", NAMES, windows(1)).scores.tolist() == [2.0]


def test_more_sets_of_names_than_are_remembered_are_still_told_apart(tmp_path: Path) -> None:
    code = "class Names:\n    def score_one(self, x): return float(list(x)[0].split('/')[1])\n"
    code += "    def learn_one(self, x): ...\n"
    with running(tmp_path, code, features="raw") as session:
        for _ in range(2):
            for number in range(300):
                found = session.score("cart", (f"metric/{number}/mean",), np.zeros((1, 1)))
                assert found.scores.tolist() == [float(number)]


def test_what_was_learned_survives_the_process_and_is_never_loaded_here(tmp_path: Path) -> None:
    with running(tmp_path, SUM) as session:
        session.score("cart", NAMES, windows(20))
        learned = session.snapshot()
        expected = session.score("cart", NAMES, windows(3)).scores
    with running(tmp_path, SUM) as session:
        session.restore(learned)
        assert session.score("cart", NAMES, windows(3)).scores.tolist() == expected.tolist()
        with pytest.raises(AlgorithmRefused, match=r"not a memory of this algorithm.*learn afresh"):
            session.restore(learned[:-9])


OWN_MEMORY = """
class Own:
    def __init__(self): self.seen, self.lock = 0, (each for each in ())
    def score_one(self, x): return float(self.seen)
    def learn_one(self, x): self.seen += 1
    def snapshot(self): return {"seen": self.seen}
    def restore(self, snapshot): self.seen = snapshot["seen"]
"""


def test_an_own_snapshot_is_kept_where_the_object_can_not_be_pickled(tmp_path: Path) -> None:
    with running(tmp_path, OWN_MEMORY, features="raw") as session:
        session.learn("cart", NAMES, windows(7))
        learned = session.snapshot()
    with running(tmp_path, OWN_MEMORY, features="raw") as session:
        session.restore(learned)
        assert session.score("cart", NAMES, windows(1)).scores.tolist() == [7.0]
    without = OWN_MEMORY.replace("def snapshot", "def other")
    with running(tmp_path, without, features="raw") as session:
        session.learn("cart", NAMES, windows(7))
        with pytest.raises(AlgorithmRefused, match="give the object `snapshot` and `restore`"):
            session.snapshot()


CHANCE = """
import random
class Chance:
    def score_one(self, x): return random.random()
    def learn_one(self, x): random.random()
"""


def test_global_random_numbers_depend_on_seed_and_service_alone(tmp_path: Path) -> None:
    def scores(seed: int, others: int) -> list[float]:
        with running(tmp_path, CHANCE, features="raw", seed=seed) as session:
            found = []
            for _ in range(4):
                found += session.score("cart", NAMES, windows(1)).scores.tolist()
                for other in range(others):
                    session.score(f"other {other}", NAMES, windows(1))
            return found

    assert scores(1, others=0) == scores(1, others=2)
    assert scores(1, others=0) != scores(2, others=0)


def test_one_error_of_an_algorithm_is_told_with_its_traceback_and_it_goes_on(tmp_path: Path) -> None:
    code = "class Odd:\n    def score_one(self, x):\n        return 1 / x['metric/cpu/mean']\n"
    code += "    def learn_one(self, x): ...\n"
    with running(tmp_path, code, features="raw") as session:
        with pytest.raises(AlgorithmFailed, match="raised ZeroDivisionError") as caught:
            session.score("cart", NAMES, np.zeros((1, 2)))
        assert "return 1 / x['metric/cpu/mean']" in caught.value.details
        assert session.score("cart", NAMES, np.ones((1, 2))).scores.tolist() == [1.0]


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("return 'high'", AlgorithmFailed, "'high'.*expected one number"),
        ("return None", AlgorithmFailed, "expected one number"),
        ("return float('inf')", BadAnswer, "infinite score"),
        ("import time; time.sleep(60)", DeadlineExceeded, "no answer in time"),
        ("import os; os._exit(1)", AlgorithmEnded, "ended without an answer"),
        ("raise SystemExit", AlgorithmEnded, "ended"),
        ("import os; [os.write(fd, b'x' * 100) for fd in (4,)]", BadAnswer, "began with b'xxxx'"),
    ],
)
def test_what_a_bad_detector_does_is_an_error_of_its_own(
    tmp_path: Path, body: str, error: type[Exception], words: str
) -> None:
    code = f"class Bad:\n    def score_one(self, x):\n        {body}\n    def learn_one(self, x): ...\n"
    with running(tmp_path, code, features="raw", deadline=0.5) as session, pytest.raises(error, match=words):
        session.score("cart", NAMES, windows(1))


def test_who_attends_may_take_its_time_while_an_answer_is_awaited_and_no_deadline_runs_out(
    tmp_path: Path,
) -> None:
    code = "import time\n\nclass Slow:\n    def learn_one(self, x): ...\n"
    code += "    def score_one(self, x):\n        time.sleep(1.0)\n        return 1.0\n"
    with running(tmp_path, code, features="raw", deadline=1.5) as session:
        called_s: list[float] = []

        def attend() -> None:
            called_s.append(time.monotonic())
            # Once, while the answer is awaited, for longer than the deadline.
            if len(called_s) == 3:
                time.sleep(2.0)

        session.attend_by(attend)
        begun_s = time.monotonic()
        assert session.score("cart", NAMES, windows(1)).scores.tolist() == [1.0]
        assert time.monotonic() - begun_s > 2.0
        assert called_s[0] - begun_s < 0.5, "before the question"
        assert called_s[2] - called_s[0] < 1.0, "while the answer is awaited"


def test_a_process_that_does_not_read_is_given_up_in_time() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        session = Session(FilePipe(process.stdin, process.stdout), DETECTOR)
        began_s = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="was not read in time"):
            session.restore(b"x" * 10_000_000, deadline_s=0.3)
        assert time.monotonic() - began_s < 5
        process.kill()


def test_an_object_that_is_not_there_is_refused_with_what_is(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SUM)
    for spec, words in (
        (f"{tmp_path / 'mine.py'}:Sun", "has no 'Sun'.*Sum"),
        ("river_of_dreams.anomaly:X", "no module 'river_of_dreams'.*requires"),
    ):
        with unfenced_session(resolve(spec)) as session, pytest.raises(AlgorithmRefused, match=words):
            session.open()
    plugin = resolve(str(tmp_path / "mine.py"), {"params": {"scales": 1}})
    with unfenced_session(plugin) as session, pytest.raises(AlgorithmRefused, match="it takes scale, seed"):
        session.open()


def test_a_file_that_imports_what_is_not_there_says_which_module_and_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import river_of_dreams\n" + SUM)
    words = r"mine\.py imports 'river_of_dreams'.*`requires`"
    with (
        unfenced_session(resolve(str(tmp_path / "mine.py"))) as session,
        pytest.raises(AlgorithmRefused, match=words),
    ):
        session.open()


def test_a_process_that_ended_is_said_to_have_ended_as_it_did() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.wait()
        for why, words in (("its memory was full", "its memory was full"), ("", "its log says why")):
            pipe = FilePipe(process.stdin, process.stdout, partial(str, why))
            with pytest.raises(AlgorithmEnded, match=words):
                pipe.receive(time.monotonic() + 5)
            with pytest.raises(AlgorithmEnded, match=words):
                pipe.send(b"?", time.monotonic() + 5)


class Answers:
    """An other end that answers what it likes."""

    def __init__(self, *answers: bytes) -> None:
        self.attend: Callable[[], None] = lambda: None
        self._answers = list(answers)

    def now_s(self) -> float:
        return time.monotonic()

    def send(self, data: bytes, deadline_s: float) -> None:
        del data, deadline_s

    def receive(self, deadline_s: float) -> bytes:
        del deadline_s
        return self._answers.pop(0)


COUNTS = {"counts": dict.fromkeys(("undefined", "missing", "new", "constant"), 0), "cpu_us": 1}
ONE = frames.float_bytes([1.0])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"GET / HTTP/1.1\r\n", "began with"),
        (frames.PREFIX.pack(frames.MAGIC, 2**31, 0), "expected at most"),
        (frames.encode(COUNTS, ONE * 2), "body of 16 bytes; expected at most"),
        (frames.encode(COUNTS, ONE[:4]), "0 scores for 1 windows"),
        (frames.encode(COUNTS, frames.float_bytes([-math.inf])), "infinite"),
        (frames.encode({"cpu_us": 1}, ONE), "counts 'None'"),
        (frames.encode({**COUNTS, "counts": {"new": "x"}}, ONE), "expected a int"),
        (frames.encode({**COUNTS, "cpu_us": True}, ONE), "cpu_us"),
        (frames.encode({**COUNTS, "cpu_us": 10**40}, ONE), "cpu_us that is negative or too large"),
        (frames.encode({**COUNTS, "cpu_us": -1}, ONE), "cpu_us that is negative"),
        (frames.PREFIX.pack(frames.MAGIC, 6, 0) + b"[[[[[[", "not JSON"),
        (frames.PREFIX.pack(frames.MAGIC, 200_000, 0) + b"[" * 200_000, "not JSON"),
    ],
)
def test_an_answer_that_is_none_is_refused(answer: bytes, words: str) -> None:
    session = Session(Answers(answer), DETECTOR)
    with pytest.raises(BadAnswer, match=words):
        session.score("cart", NAMES, windows(1))


def test_what_a_process_says_can_always_be_written_down() -> None:
    answer = frames.encode({"raised": "\ud800 is half a letter", "traceback": "\udfff"})
    with pytest.raises(AlgorithmFailed, match="half a letter") as caught:
        Session(Answers(answer), DETECTOR).score("cart", NAMES, windows(1))
    assert (str(caught.value) + caught.value.details).encode()


def test_every_nan_is_the_same_one() -> None:
    odd = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", "<f8")
    assert np.isnan(odd).all()
    session = Session(Answers(frames.encode(COUNTS, odd.tobytes())), DETECTOR)
    assert session.score("cart", NAMES, windows(1)).scores.tobytes() == np.array([np.nan]).tobytes()


def test_an_answer_before_the_question_is_refused() -> None:
    answer = frames.encode(COUNTS, ONE)
    session = Session(Answers(answer + answer), DETECTOR)
    session.score("cart", NAMES, windows(1))
    with pytest.raises(BadAnswer, match="nobody asked for"):
        session.score("cart", NAMES, windows(1))


def case(graph: tuple[tuple[str, str], ...] = ()) -> Case:
    start_us = np.arange(20, dtype=np.int64) * 5_000_000
    values = np.random.default_rng(1).normal(size=(20, 2))
    features = {"cart": (NAMES, values), "cart_db": (NAMES, values + 1)}
    return Case(alarm_us=int(start_us[15]), start_us=start_us, features=features, graph=graph)


@pytest.mark.parametrize(
    ("ranks", "services"),
    [
        (["cart_db_metric/cpu/mean", "cart_metric/cpu/mean", "cart_db"], ("cart_db", "cart")),
        (["cart"], ("cart",)),
        ([], ()),
    ],
)
def test_ranks_of_columns_are_ranks_of_services(ranks: list[str], services: tuple[str, ...]) -> None:
    session = Session(Answers(frames.encode({**COUNTS, "ranks": ranks})), DETECTOR)
    ranking = session.rank(case())
    assert (ranking.services, ranking.causes) == (services, tuple(ranks))


@pytest.mark.parametrize(
    "ranks", [["moon"], ["cartoon"], [7], [["cart"]], "cart", None, ["cart_\ud800"], ["cart_\n"]]
)
def test_ranks_of_what_is_not_in_the_case_are_refused(ranks: object) -> None:
    session = Session(Answers(frames.encode({**COUNTS, "ranks": ranks})), DETECTOR)
    with pytest.raises(BadAnswer, match="expected"):
        session.rank(case())


@pytest.mark.parametrize(
    ("kinds", "values", "words"),
    [
        (["a", "b"], [0.5, 0.6], "sum up to 1.1"),
        (["a", "b"], [1.5, -0.5], "from 0 to 1"),
        (["a", "b"], [math.nan, 1.0], "from 0 to 1"),
        (["a"], [0.5, 0.5], "one from 0 to 1 for each"),
        (["a", "a"], [0.5, 0.5], "for each"),
        ([], [], "sum up to 0"),
    ],
)
def test_what_are_no_probabilities_is_refused(kinds: list[str], values: list[float], words: str) -> None:
    answer = frames.encode({"kinds": kinds, "cpu_us": 1}, frames.float_bytes(values))
    with pytest.raises(BadAnswer, match=words):
        Session(Answers(answer), DETECTOR).classify(case())


def test_a_case_needs_windows_on_both_sides_of_the_alarm() -> None:
    start_us = np.arange(3, dtype=np.int64)
    for alarm_us in (0, 3):
        with pytest.raises(InvalidInput, match="windows before it, and one at it or after"):
            Case(alarm_us=alarm_us, start_us=start_us, features={})


RANKER = """
def blame(data, inject_time, dataset=None, *, graph, services, logs, traces, deviations, seed, most):
    assert dataset == "microservo" and graph == [("a", "cart")] and most == 3 and seed == 5
    assert inject_time == 75.0 and list(data["time"])[-1] == 95.0, data
    assert set(data) == {"time", "cart_metric/cpu/mean", "cart_db_metric/cpu/mean"}, list(data)
    assert set(logs) == {"time", "cart_log/severity/error", "cart_db_log/severity/error"}
    assert set(traces) == {"time"} and set(deviations["cart"]) == {"log/severity/error", "metric/cpu/mean"}
    return {"ranks": services[::-1]}
"""


def test_a_ranker_gets_the_tables_and_what_it_has_parameters_for(tmp_path: Path) -> None:
    with running(tmp_path, RANKER, params={"most": 3}, seed=5, deadline=30) as session:
        assert session.rank(case((("a", "cart"),))).services == ("cart_db", "cart")


# As RCAEval 1.8 has it: tables are prepared only for a named dataset, and whatever was raised is an order.
OF_RCAEVAL = """
def preprocess(data, dataset):
    return {name: values for name, values in data.items() if dataset is None or name != "time"}

def rca(func):
    def wrapper(*args, **kwargs):
        try:
            return func(*args, **kwargs)
        except Exception as e:
            dummy = list(preprocess(args[0], kwargs.get("dataset")))
            return {"adj": [], "node_names": dummy, "ranks": dummy}
    return wrapper

@rca
def largest(data, inject_time=None, dataset=None, anomalies=None, **kwargs):
    table = preprocess(data, dataset)
    return {"adj": [], "node_names": list(table), "ranks": sorted(table, key=lambda name: -max(table[name]))}

@rca
def fails(data, inject_time=None, dataset=None, **kwargs):
    return {"ranks": [name for name in data if name in kwargs["sli"]]}

def named(data, inject_time=None, dataset=None):
    return {"ranks": [dataset]}
"""


@contextmanager
def of_rcaeval(folder: Path, name: str, **declared: Any) -> Iterator[Session]:
    (folder / "mine.py").write_text(OF_RCAEVAL)
    plugin = resolve(f"{folder / 'mine.py'}:{name}", {"task": "ranker", "deadline": 30, **declared})
    with unfenced_session(plugin) as session:
        session.open()
        yield session


def test_a_function_of_rcaeval_ranks_columns_and_not_their_time(tmp_path: Path) -> None:
    with of_rcaeval(tmp_path, "largest") as session:
        assert session.rank(case()).services == ("cart_db", "cart")


def test_what_a_function_of_rcaeval_gives_instead_of_its_error_is_no_ranking(tmp_path: Path) -> None:
    with (
        of_rcaeval(tmp_path, "fails") as session,
        pytest.raises(AlgorithmFailed, match="RCAEval could not rank this case"),
    ):
        session.rank(case())


def test_a_ranker_is_told_of_the_dataset_that_is_declared(tmp_path: Path) -> None:
    with of_rcaeval(tmp_path, "named", params={"dataset": "cart"}) as session:
        assert session.rank(case()).services == ("cart",)


def test_the_fenced_side_runs_in_an_environment_without_any_library(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SUM)
    process = subprocess.Popen(
        [sys.executable, "-S", "-s", "-P", str(FENCED)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(ENVIRONMENT),
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        plugin = resolve(str(path))
        session = Session(FilePipe(process.stdin, process.stdout), plugin.declaration, [str(path)])
        assert session.open().versions == {}
        assert np.isfinite(session.score("cart", NAMES, windows(20)).scores[6:]).all()
        process.stdin.close()
        assert process.wait(10) == 0


CLASSIFIER = """
class Nearest:
    def fit(self, table, kinds):
        self.classes_ = sorted(set(kinds))
        self.rows = list(zip(table, kinds))
    def predict_proba(self, table):
        near = min(self.rows, key=lambda pair: sum((a - b) ** 2 for a, b in zip(pair[0], table[0])))[1]
        return [[float(kind == near) for kind in self.classes_]]
"""


def test_a_classifier_learns_from_cases_and_remembers(tmp_path: Path) -> None:
    def broken(place: int) -> Case:
        made = case()
        made.features["cart"][1][15:, place] += 50
        return made

    with running(tmp_path, CLASSIFIER, deadline=30) as session:
        with pytest.raises(AlgorithmRefused, match="learned from no cases"):
            session.classify(broken(0))
        session.train([(broken(0), "errors"), (broken(1), "cpu")])
        assert session.classify(broken(1)) == {"cpu": 1.0, "errors": 0.0}
        learned = session.snapshot()
    with running(tmp_path, CLASSIFIER, deadline=30) as session:
        session.restore(learned)
        assert session.classify(broken(0)) == {"cpu": 0.0, "errors": 1.0}


def test_a_classifier_goes_by_what_moved_and_not_by_the_service_or_endpoint_that_it_moved_at(
    tmp_path: Path,
) -> None:
    def slow(service: str, endpoint: str, times: float) -> Case:
        names = ("log/severity/error", f"request/{endpoint}/p90_ms")
        start_us = np.arange(20, dtype=np.int64) * 5_000_000
        values = np.tile([1.0, 10.0], (20, 1))
        values[15:] *= [1.0, times] if times > 1 else [9.0, 1.0]
        return Case(alarm_us=int(start_us[15]), start_us=start_us, features={service: (names, values)})

    with running(tmp_path, CLASSIFIER, deadline=30) as session:
        session.train([(slow("cart", "GetCart", 30), "slow"), (slow("cart", "GetCart", 1), "errors")])
        assert session.classify(slow("ads", "[GET /ads]", 20)) == {"slow": 1.0, "errors": 0.0}
        assert session.classify(slow("ads", "[GET /ads]", 1)) == {"slow": 0.0, "errors": 1.0}
