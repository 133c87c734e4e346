"""The policy of people's rules: near demand, as often as rules ask for, never fewer than the minimum."""

from __future__ import annotations

from microservo.domain.geography import Coordinates
from microservo.domain.manager.entities import Service
from microservo.domain.manager.host_decisions import decide_hosts
from microservo.domain.manager.indexes import Measured
from microservo.domain.manager.service_decisions import decide_services, place_near_demand
from microservo.domain.manager.step import Step
from microservo.domain.rules import Outcome, evaluate, simulated_values


class RulesPolicy:
    """Evaluates the rules on what was measured since the last time, and acts on what they say.

    Args:
        seed: unused, for rules draw nothing; simulated metrics have the manager's seed.
    """

    name = "rules"
    keeps_minimum = True
    recovers = True

    def __init__(self, seed: int) -> None:
        del seed

    def place(self, step: Step, service: Service) -> Coordinates:
        """Near the demand, near others of the service, or where settings say."""
        return place_near_demand(step, service)

    def evaluate(self, step: Step) -> None:
        """Hosts first, then services; only where something was measured since."""
        state = step.state
        state.current_rules()
        simulated = bool(state.of_kind("simulated-metric"))
        for measured, act in ((state.of_hosts, decide_hosts), (state.of_containers, decide_services)):
            if not (measured.is_news or simulated):
                continue
            state.evaluated_us = step.now_us
            outcome = _outcome(step, measured)
            slots = measured.streaks.update(outcome, step.now_us)
            measured.outcome, measured.is_news = outcome, False
            if measured is state.of_hosts or state.decides_for_services:
                act(step, slots, outcome)


def _outcome(step: Step, measured: Measured) -> Outcome:
    state = step.state
    metrics = state.simulated()
    if metrics:
        for metric in metrics:
            if (metric.scope == "host") == (measured is state.of_hosts):
                measured.metrics.add_field(metric.field)
        values = simulated_values(
            metrics, measured.metrics, measured.membership, seed=state.seed, at_us=step.now_us
        )
        measured.metrics.simulate(values)
    return evaluate(state.rules, measured.metrics, measured.membership, measured.outcome)
