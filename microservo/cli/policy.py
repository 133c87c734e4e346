"""`microservo policy`: by what the manager decides where containers run."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from microservo.application.policies import ComparePolicies, DeployPolicy, ShowPolicies
from microservo.cli.completions import complete_policy
from microservo.cli.manage import print_outcome
from microservo.cli.output import print_document, print_line, print_table
from microservo.cli.session import Session, pass_session

if TYPE_CHECKING:
    from microservo.domain.manager.simulation.judging import PolicyRow

_json = click.option("--json", "as_json", is_flag=True, help="JSON, one document.")


@click.group()
def policy() -> None:
    """See and choose by what the manager decides where containers run.

    `rules` are those of `microservo manage`; `nothing` and `random` are controls that every policy has to
    beat. Another distribution adds one by an entry point of the group microservo.policies. Commands of people
    are carried out under each of them.

    \b
    Examples:
      microservo policy show
      microservo policy deploy random
      microservo policy compare
    """


@policy.command()
@_json
@pass_session
def show(session: Session, *, as_json: bool) -> None:
    """Show the policies, and which is deployed.

    \b
    Example:
      microservo policy show --json | jq -r .deployed
    """
    found = session.execute(ShowPolicies())
    if as_json:
        print_document(found)
        return
    rows = [
        (name, "control" if name in found.controls else "-", "yes" if name == found.deployed else "-")
        for name in dict.fromkeys((*found.known, *filter(None, [found.deployed])))
    ]
    print_table(("policy", "kind", "deployed"), rows)
    if not found.deployed:
        print_line("none is deployed: each manager decides by its MICROSERVO_MANAGER_POLICY, else by rules")


@policy.command()
@click.argument("name", shell_complete=complete_policy)
@_json
@pass_session
def deploy(session: Session, name: str, *, as_json: bool) -> None:
    """Have all managers decide by the policy NAME from now on; '' for that with which each was started.

    Containers stay where they are. It is recorded among the manager's events and inputs, so that the
    decisions of a day can be told again.

    \b
    Examples:
      microservo policy deploy random
      microservo policy deploy rules
      microservo manage events --entity settings/manager
    """
    print_outcome(session.execute(DeployPolicy(name=name)), as_json=as_json)


@policy.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=complete_policy)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first day.")
@click.option(
    "--days",
    type=click.IntRange(3, 100),
    default=3,
    show_default=True,
    help="How many; few may be won by chance.",
)
@click.option(
    "--format", "format_", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
@pass_session
def compare(session: Session, names: tuple[str, ...], *, seed: int, days: int, format_: str) -> None:
    """Compare policies over the same simulated days, in which demand follows the sun and things fail.

    A place has only who is better than each control in both headlines: the latency of the slowest 1 %, and
    minutes of services in which more than 5 % of the requests took longer than 200 ms. How much is moved and
    what it costs stand beside. Takes about three seconds of processor time for each policy and day.

    \b
    Examples:
      microservo policy compare
      microservo policy compare rules --days 7 --format csv > policies.csv
    """
    found = session.execute(ComparePolicies(names=names, seed=seed, days=days))
    if format_ == "json":
        for row in found:
            print_document(row)
    elif format_ == "csv":
        print_line(",".join(("place", "is_control", *_SCORES)))
        for row in found:
            print_line(",".join(_values(row)))
    else:
        print_table(_TITLES, [_cells(row) for row in found])
        print_line("a place has only who is better than each control in both p99 and SLO minutes lost")


_SCORES = (
    "policy",
    "latency_p99_ms",
    "slo_minutes_lost",
    "slo_minutes",
    "latency_p50_ms",
    "lost_percent",
    "moves_per_h",
    "changes_per_h",
    "cost_core_h",
)
_TITLES = (
    "place",
    "policy",
    "p99 ms",
    "SLO minutes lost",
    "p50 ms",
    "lost %",
    "moves/h",
    "launches and stops/h",
    "cost, core hours",
)


def _values(row: PolicyRow) -> list[str]:
    score = asdict(row.score)
    return [str(row.place or ""), str(row.is_control).lower(), *(str(score[name]) for name in _SCORES)]


def _cells(row: PolicyRow) -> tuple[str, ...]:
    score = row.score
    return (
        "control" if row.is_control else str(row.place or "-"),
        score.policy,
        f"{score.latency_p99_ms:.0f}",
        f"{score.slo_minutes_lost} of {score.slo_minutes}",
        f"{score.latency_p50_ms:.0f}",
        f"{score.lost_percent:.2f}",
        f"{score.moves_per_h:.1f}",
        f"{score.changes_per_h:.1f}",
        f"{score.cost_core_h:.0f}",
    )
