"""What an evaluation of rules costs: `python -m benchmarks.rules`, half a minute.

Processor time of one process, the least of several turns: what else the machine does changes it less than
wall time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from benchmarks.command import run
from benchmarks.cpu import cpu_s
from benchmarks.figures import Figure, figure
from microservo.domain.geography import Coordinates, unit_vectors
from microservo.domain.placement import Hosts, Need, choose_host
from microservo.domain.rules import (
    FIELDS,
    MODES,
    SERVICE_DECISIONS,
    SERVICE_STREAKS,
    Condition,
    Measurements,
    Membership,
    Outcome,
    Rule,
    Scope,
    SimulatedMetric,
    Streaks,
    check_rules,
    evaluate,
    simulated_values,
)
from microservo.domain.telemetry import Float64, Int64

COMMAND = "python -m benchmarks.rules"
_CONTAINERS, _SERVICES, _APPS, _RULES, _HOSTS = 100_000, 500, 20, 20, 10_000
_FIELDS = (*(field.name for field in FIELDS), "anomaly-score/robust-z")
_ASKED_S = 0.5
_TURNS = 7
_SECOND_US = 1_000_000


def figures() -> Iterator[Figure]:
    """An evaluation against what is asked for, and its parts and neighbours against the evaluation."""
    chance = np.random.default_rng(7)
    measurements, membership = _containers(chance)
    rules, metrics = _rules(chance), _metrics()
    check_rules(rules)
    before = evaluate(rules, measurements, membership)
    size = f"{_CONTAINERS:,} containers, {len(_FIELDS)} fields, {_RULES} rules of 3 conditions"
    evaluation_s = cpu_s(partial(evaluate, rules, measurements, membership, before), turns=_TURNS)
    yield figure(
        f"evaluation: {size}",
        evaluation_s,
        "s of CPU",
        peer="asked for",
        peer_value=_ASKED_S,
        command=COMMAND,
    )
    hosts = _hosts(chance)
    target, need = Coordinates(38.72, -9.14), Need(memory_bytes=5e8, cpu_cores=0.5, disk_bytes=1e9)
    parts: list[tuple[str, Callable[[], object]]] = [
        ("streaks of its outcome", partial(_streaks, before)),
        (f"a new value of all {len(_FIELDS)} fields of all containers", _recorder(measurements, chance)),
        (
            "20 simulated metrics, two of all services",
            partial(simulated_values, metrics, measurements, membership, seed=7, at_us=_SECOND_US),
        ),
        (f"a choice among {_HOSTS:,} hosts", partial(choose_host, target, hosts, need)),
    ]
    for name, work in parts:
        yield figure(
            name,
            cpu_s(work, turns=_TURNS),
            "s of CPU",
            peer="the evaluation",
            peer_value=evaluation_s,
            command=COMMAND,
        )


def _containers(chance: np.random.Generator) -> tuple[Measurements, Membership]:
    """Containers that have been measured three times."""
    measurements = Measurements("container", _FIELDS)
    apps = {f"app-{n}": [f"service-{m}" for m in range(n, _SERVICES, _APPS)] for n in range(_APPS)}
    membership = Membership(apps)
    for number in range(_CONTAINERS):
        membership.assign(measurements.add(f"container-{number}"), f"service-{number % _SERVICES}")
    slots = np.arange(_CONTAINERS)
    for second in range(3):
        _record_all(measurements, slots, chance.uniform(0, 100, (len(_FIELDS), _CONTAINERS)), second)
    return measurements, membership


def _record_all(measurements: Measurements, slots: Int64, values: Float64, second: int) -> None:
    at_us = np.full(len(slots), second * _SECOND_US)
    for field, row in zip(_FIELDS, values, strict=True):
        measurements.record(field, slots, row, at_us)


def _recorder(measurements: Measurements, chance: np.random.Generator) -> Callable[[], None]:
    slots, values = np.arange(_CONTAINERS), chance.uniform(0, 100, (len(_FIELDS), _CONTAINERS))
    seconds = iter(range(10, 10 + _TURNS))
    return lambda: _record_all(measurements, slots, values, next(seconds))


def _rules(chance: np.random.Generator) -> list[Rule]:
    """Of all levels and modes; half of them generic, which cost the most, and all with hysteresis."""
    found = []
    for number in range(_RULES):
        fields = chance.choice(len(_FIELDS), 3, replace=False)
        conditions = tuple(
            Condition(
                field=_FIELDS[field],
                mode=MODES[(number + place) % len(MODES)],
                operator=">",
                value=float(chance.uniform(0, 60)),
                margin=5.0,
            )
            for place, field in enumerate(fields)
        )
        level = number % 6
        scopes: list[Scope] = ["service", "service", "service", "app", "service", "container"]
        targets = {
            3: {f"app-{number}"},
            4: {f"service-{number}", f"service-{number + 100}"},
            5: {f"container-{number + 500 * each}" for each in range(50)},
        }
        found.append(
            Rule(
                name=f"rule-{number}",
                scope=scopes[level],
                generic=level < 3,
                priority=number,
                decision=SERVICE_DECISIONS[1 + number % 3],
                conditions=conditions,
                targets=frozenset(targets.get(level, ())),
            )
        )
    return found


def _metrics() -> list[SimulatedMetric]:
    generic = [
        SimulatedMetric(
            name=f"generic-{n}",
            scope="service",
            field="latency",
            minimum=1,
            maximum=9,
            generic=True,
            override=True,
        )
        for n in range(2)
    ]
    attached = [
        SimulatedMetric(
            name=f"attached-{n}",
            scope="app",
            field="bandwidth-%",
            minimum=1,
            maximum=9,
            override=True,
            targets=frozenset({f"app-{n}"}),
        )
        for n in range(18)
    ]
    return generic + attached


def _hosts(chance: np.random.Generator) -> Hosts:
    size = _HOSTS
    names = tuple(f"host-{number}" for number in range(size))
    latitude, longitude = chance.uniform(-60, 60, size), chance.uniform(-180, 180, size)
    x, y, z = unit_vectors(latitude, longitude)
    return Hosts(
        names=names,
        rows={name: row for row, name in enumerate(names)},
        latitude=latitude,
        longitude=longitude,
        x=x,
        y=y,
        z=z,
        is_edge=chance.random(size) < 0.5,
        is_node=chance.random(size) < 0.8,
        is_ready=chance.random(size) < 0.95,
        is_running=np.ones(size, np.bool_),
        cpu_percent=chance.uniform(0, 100, size),
        cores=np.full(size, 8.0),
        memory_total=np.full(size, 32e9),
        memory_available=chance.uniform(0, 32e9, size),
        disk_available=chance.uniform(0, 1e12, size),
        reserved_memory=np.zeros(size),
        reserved_cores=np.zeros(size),
        reserved_disk=np.zeros(size),
    )


def _streaks(outcome: Outcome) -> int:
    return len(Streaks(SERVICE_STREAKS).update(outcome, _SECOND_US))


def main() -> int:
    """Measures, prints the table, and writes it to a folder with `--out`."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    return run(parser, lambda *_: figures(), name="rules", title="What an evaluation of rules costs")


if __name__ == "__main__":
    sys.exit(main())
