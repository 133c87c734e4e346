"""`microservo policy`: by what the manager decides where containers run."""

# ruff: noqa: D301 - click wants the backspace character itself, so these docstrings aren't raw

from __future__ import annotations

import click

from microservo.application.policies import DeployPolicy, ShowPolicies
from microservo.cli.completions import complete_policy
from microservo.cli.manage import print_outcome
from microservo.cli.output import print_document, print_line, print_table
from microservo.cli.session import Session, pass_session

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
