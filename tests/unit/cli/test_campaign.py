"""Campaigns on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from microservo.domain.campaigns.choice import CampaignFault
from microservo.domain.campaigns.plan import CampaignPlan, one_after_another
from schemas.records import CampaignEvent, CampaignRun, FaultEvent

NOON_US = 1_800_000_000_000_000
Run = Callable[..., Result]
PLAN = one_after_another(
    "smoke",
    7,
    "online-boutique",
    [CampaignFault(kind="cpu-hog", service="adservice", parameters={"load": "50%"}, duration_s=9, gap_s=5)],
)


def record(**changes: object) -> CampaignRun:
    given = {
        "campaign_id": "smoke-1",
        "name": "smoke",
        "seed": 7,
        "run_id": "run-1",
        "plan": PLAN.to_bytes().decode(),
        "plan_sha256": PLAN.sha256,
        "state": "running",
        "faults": 1,
        "faults_over": 0,
        "started_at_us": NOON_US,
        "updated_at_us": NOON_US,
        "holder": "campaign-1",
        "lease_until_us": NOON_US + 1,
        **changes,
    }
    return CampaignRun(**given)  # type: ignore[arg-type]


def test_a_plan_needs_no_system_and_is_the_same_for_the_same_seed(run: Run) -> None:
    first, again = (run("campaign", "plan", "smoke", "--seed", "11", "--json") for _ in range(2))
    assert first.exit_code == 0, first.output
    assert first.stdout == again.stdout
    plan = CampaignPlan.from_bytes(first.stdout.encode())
    assert (plan.name, plan.seed, len(plan.steps)) == ("smoke", 11, 3)
    table = run("campaign", "plan", "smoke", "--seed", "11").stdout
    assert f"3 faults in {plan.lasts_us // 1_000_000}s on online-boutique" in table
    assert plan.sha256[:16] in table


def test_the_shipped_campaigns_are_listed_with_what_they_are_for(run: Run) -> None:
    listed = run("campaign", "list", "--shipped", "--json").stdout.splitlines()
    assert [json.loads(each)["name"] for each in listed] == [
        *("all-kinds", "concurrent", "night", "severity-ladder", "smoke")
    ]
    assert "Eight hours under a load" in run("campaign", "list", "--shipped").stdout


def test_a_file_of_ones_own_is_planned_and_its_mistakes_are_told_with_their_place(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\n[faults]\ncount = 2\n[[mix]]\nkind = "process-kill"\n')
    assert run("campaign", "plan", str(path)).stdout.count("process-kill") == 2
    path.write_text('name = "mine"\n[faults]\ncount = -2\n')
    result = run("campaign", "plan", str(path))
    assert result.exit_code == 2
    assert "mine.toml: faults.count: expected greater than or equal to 0, got -2" in result.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smok", "choose one of all-kinds, concurrent, night, severity-ladder, smoke"),
        ("gone.toml", "can't be read"),
    ],
)
def test_a_campaign_that_is_not_there_is_refused(run: Run, name: str, message: str) -> None:
    result = run("campaign", "plan", name)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_campaign_without_a_run_is_refused_and_nothing_is_written(run: Run) -> None:
    result = run("campaign", "run", "smoke")
    assert result.exit_code == 3
    assert "no run goes on, so there is nothing to break; `microservo up` begins one" in result.stderr
    assert "no campaign was run yet" in run("campaign", "list").stdout


def test_a_campaign_that_nobody_runs_any_more_is_listed_as_killed(run: Run, put: Callable[..., None]) -> None:
    put("campaigns", "smoke-1", record())
    (running,) = run("campaign", "list", "--json").stdout.splitlines()
    assert json.loads(running)["standing"] == "running"
    put("campaigns", "smoke-1", record(lease_until_us=NOON_US))
    assert "killed" in run("campaign", "list").stdout


def test_a_report_has_the_journal_the_faults_and_their_verdicts(run: Run, put: Callable[..., None]) -> None:
    put("campaigns", "smoke-1", record(state="done", faults_over=1, lease_until_us=None))
    over = CampaignEvent(
        campaign_id="smoke-1",
        number=1,
        at_us=NOON_US,
        event="over",
        step=1,
        fault_id="smoke-1-001",
        detail="recovered",
    )
    put("campaign-events", "smoke-1", over)
    event = FaultEvent(
        run_id="run-1",
        fault_id="smoke-1-001",
        version=5,
        kind="cpu-hog",
        service="adservice",
        instance="adservice-0",
        state="recovered",
        at_us=NOON_US,
        requested_at_us=NOON_US - 10_000_000,
        duration_us=9_000_000,
        parameters={},
        applied_at_us=NOON_US - 9_000_000,
        verdict="confirmed",
    )
    put("fault-events", "smoke-1-001", event)
    told = run("campaign", "report").stdout
    assert "smoke-1-001" in told
    assert "faults    1 of 1 over; effects: 1 confirmed" in told
    assert PLAN.sha256 in told
    found = json.loads(run("campaign", "report", "smoke-1", "--json").stdout)
    assert found["faults"][0]["verdict"] == "confirmed"
    assert found["journal"][0]["event"] == "over"
    unknown = run("campaign", "report", "smoke-2")
    assert (unknown.exit_code, "the newest are: smoke-1" in unknown.stderr) == (2, True)
