from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner
from evaluated_run import WINDOWS, alarms, deployment, scores, start_us, truths

from microservo.algorithms import resolve
from microservo.application.documents import to_json
from microservo.cli import demo as command
from microservo.cli.root import cli
from microservo.domain.campaigns.plan import CampaignPlan
from microservo.domain.evaluation import RunEvaluation
from microservo.domain.evaluation.board import boards
from microservo.domain.twin import TwinEffect, TwinRow
from microservo.errors import Unavailable
from microservo.system.demo import DemoResult
from microservo.system.options import SystemOptions
from microservo.system.said import DetectorSaid, Said
from microservo.system.twin import TwinResult
from schemas.records import Evaluation, FaultEvent

APPLIED_US = 1_700_000_000_000_000
EFFECT = TwinEffect(
    fault_id="f-1",
    kind="http-abort",
    root_service="cartservice",
    service="frontend",
    applied_us=APPLIED_US,
    recovered_us=APPLIED_US + 10_000_000,
    first_us=APPLIED_US + 120_000,
    what="GetCart of cartservice: failed",
    pairs=40,
    deviating=20,
)

SAID = Said(
    faults=6,
    detectors=(DetectorSaid(algorithm="n-sigma", alarms=9, found=5, false_alarms=2),),
)


def judged() -> list[Evaluation]:
    """A detector and its control, judged to the end of a run."""
    evaluation = RunEvaluation("run-1")
    for record in (
        *(deployment("good"), deployment("random", is_control=True)),
        *(*truths(), *scores("good"), *scores("random"), *alarms("good")),
    ):
        evaluation.add(record)
    return list(evaluation.evaluations(at_us=start_us(WINDOWS), cost="batch", is_final=True))


class FakeSystem:
    """Stands for a system that is up at once."""

    run_id = "run-1"

    options: ClassVar[SystemOptions]

    def __init__(self, options: SystemOptions, *_: object) -> None:
        FakeSystem.options = options

    def start(self) -> None: ...

    def kill(self) -> None: ...

    def __enter__(self) -> FakeSystem:
        return self

    def __exit__(self, *_: object) -> None: ...


class FakeDemo:
    """Stands for a campaign, and keeps its plan."""

    plan: ClassVar[CampaignPlan]

    def __init__(self, *_: object, plan: CampaignPlan, out_dir: Path) -> None:
        FakeDemo.plan = plan
        self._out_dir = out_dir

    def run(self) -> DemoResult:
        return DemoResult(
            faults=[],
            boards=tuple(boards(judged())),
            said=SAID,
            out_dir=self._out_dir,
            content_hash="abc",
            problems=(),
        )


class FakeTwin:
    """Stands for a twin that shows one effect, which the observer saw a little later."""

    def __init__(self, *_: object) -> None:
        self.system = SimpleNamespace(kill=lambda: None)

    def run(self, _faults: Sequence[FaultEvent]) -> TwinResult:
        unseen = TwinRow(effect=EFFECT, effect_seen_at_us=None)
        seen = TwinRow(effect=EFFECT, effect_seen_at_us=APPLIED_US + 150_000)
        return TwinResult(run_id="run-2", rows=(seen, unseen))


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was kept with a dataset."""
    found: list[Any] = []
    monkeypatch.setattr(command, "EmbeddedSystem", FakeSystem)
    monkeypatch.setattr(command, "Demo", FakeDemo)
    monkeypatch.setattr(command, "Twin", FakeTwin)
    monkeypatch.setattr(command, "keep_twin", lambda folder, result: found.append((folder, result.run_id)))
    return found


def test_a_twin_shows_the_first_deviating_record_beside_what_was_seen(
    kept: list[Any], tmp_path: Path
) -> None:
    result = CliRunner().invoke(cli, ["demo", "--twin", "--out", str(tmp_path / "dataset")])
    assert result.exit_code == 0, result.output
    assert kept == [(tmp_path / "dataset", "run-2")]
    assert "GetCart of cartservice: failed" in result.output
    assert "+0.12 s" in result.output
    assert "+30 ms" in result.output
    assert "20 of 40" in result.output
    assert "twin      run-2" in result.output


def test_a_demo_has_no_twin_unless_asked_for(kept: list[Any], tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / "dataset")])
    assert result.exit_code == 0, result.output
    assert kept == []
    assert "first deviating record" not in result.output


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(("given", "most_s"), [(["--balanced"], 5), ([], 15)])
def test_faults_that_callers_suffer_from_are_short_in_a_balanced_demo(
    given: list[str], most_s: int, tmp_path: Path
) -> None:
    result = CliRunner().invoke(cli, ["demo", "--faults", "60", *given, "--out", str(tmp_path / "dataset")])
    assert result.exit_code == 0, result.output
    resets = [fault.duration_s for fault in FakeDemo.plan.faults if fault.kind == "connection-reset"]
    assert resets
    assert most_s - 3 <= min(resets) <= max(resets) <= most_s


@pytest.mark.usefixtures("kept")
def test_a_demo_deploys_six_detectors_and_three_rankers_with_chance_among_each(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / "dataset")])
    assert result.exit_code == 0, result.output
    tasks = [resolve(name).declaration.task for name in FakeSystem.options.algorithms]
    assert (tasks.count("detector"), tasks.count("ranker"), len(tasks)) == (6, 3, 9)
    assert {"random", "random-ranker"} < set(FakeSystem.options.algorithms)
    assert FakeSystem.options.algorithms_timeout_s > 0, "it waits for them"


@pytest.mark.usefixtures("kept")
def test_a_demo_ends_with_the_board_as_it_is_shown_later(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / "dataset")])
    kept = tmp_path / "kept.json"
    kept.write_text("".join(f"{to_json(each)}\n" for each in judged()))
    shown = CliRunner().invoke(cli, ["board", "show", "--file", str(kept)])
    assert shown.exit_code == 0, shown.output
    assert "AUC-PR *" in shown.output
    assert shown.output in result.output
    assert "alarms    faults met: n-sigma 5 of 6 (2 false)" in result.output.splitlines()


@pytest.mark.parametrize(
    "option", [("--twin",), ("--faults", "6"), ("--topology", "sock-shop"), ("--balanced",)]
)
def test_follow_the_sun_refuses_what_only_faults_have(option: tuple[str, ...]) -> None:
    refused = CliRunner().invoke(cli, ["demo", "--scenario", "follow-the-sun", *option])
    assert refused.exit_code == 2
    assert f"leave {option[0]} out" in refused.output


@pytest.mark.parametrize("scenario", ["faults", "follow-the-sun"])
def test_a_folder_that_nothing_can_be_written_to_is_refused_before_anything_is_started(
    tmp_path: Path, scenario: str
) -> None:
    (tmp_path / "theirs.txt").write_text("kept")
    for out_dir in (tmp_path, tmp_path / "theirs.txt" / "report"):
        refused = CliRunner().invoke(cli, ["demo", "--scenario", scenario, "--out", str(out_dir)])
        assert refused.exit_code == 2, refused.output
        assert str(out_dir) in refused.output
    assert (tmp_path / "theirs.txt").read_text() == "kept"


def test_follow_the_sun_has_topics_of_its_own_at_each_start_since_one_before_has_left_hosts_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefixes = []

    def regional(options: SystemOptions, _: object) -> None:
        prefixes.append(options.topic_prefix)
        msg = "it ends here"
        raise Unavailable(msg)

    monkeypatch.setattr("microservo.cli.sun.RegionalSystem", regional)
    argv = ["--topic-prefix", "mine-", "demo", "--scenario", "follow-the-sun", "--out", str(tmp_path / "out")]
    for _ in range(2):
        assert "it ends here" in CliRunner().invoke(cli, argv).output
    first, second = prefixes
    assert first != second
    assert {each.startswith("mine-follow-the-sun-") for each in prefixes} == {True}
