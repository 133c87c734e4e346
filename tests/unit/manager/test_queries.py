"""Whom the series of a registered query are about, and what becomes of what can't be had."""

from __future__ import annotations

import logging
import queue
from collections.abc import Sequence
from typing import Any

import pytest

from microservo.domain.manager.entities import Host
from microservo.domain.manager.events import HostsMeasured
from microservo.domain.manager.state import SystemState
from microservo.domain.rules import Field
from microservo.errors import InvalidInput
from microservo.sources.prometheus.api import PrometheusApi, Series
from microservo.sources.prometheus.settings import PrometheusSettings
from services.manager.performing import Told
from services.manager.queries import FieldQueries, values_of

HOSTS = [
    Host(name="berlin", place="edge", latitude=0.0, longitude=0.0, public_address="192.0.2.7"),
    Host(name="tokyo", place="edge", latitude=0.0, longitude=0.0, private_address="10.0.0.9"),
]


def series(value: str, **labels: str) -> Series:
    return {"metric": labels, "value": [0, value]}


@pytest.mark.parametrize(
    ("labels", "host"),
    [
        ({"instance": "192.0.2.7:9100"}, "berlin"),
        ({"instance": "10.0.0.9"}, "tokyo"),
        ({"instance": "berlin:9100", "job": "node"}, "berlin"),
        ({"node": "tokyo", "instance": "192.0.2.7:9100"}, "tokyo"),
        ({"hostname": "berlin"}, "berlin"),
    ],
)
def test_a_series_is_about_the_host_that_its_labels_name_by_name_or_address(
    labels: dict[str, str], host: str
) -> None:
    assert values_of([series("2.5", **labels)], HOSTS).by_host == {host: 2.5}


def test_series_of_strangers_repeated_ones_and_no_numbers_count_for_nobody() -> None:
    found = [
        series("1", instance="stranger:9100"),
        series("1"),
        series("NaN", host="tokyo"),
        series("1", host="berlin", device="eth0"),
        series("2", host="berlin", device="eth1"),
    ]
    values = values_of(found, HOSTS)
    assert (values.by_host, values.repeated) == ({}, ["berlin"])


class Answers(PrometheusApi):
    """Gives what it was told for each query."""

    def __init__(self, answers: dict[str, Sequence[Series] | InvalidInput]) -> None:
        super().__init__(PrometheusSettings(url="http://127.0.0.1:1"))
        self._answers = answers

    def instant(self, expr: str, at_us: int) -> list[Series]:
        found: Any = self._answers[expr]
        if isinstance(found, InvalidInput):
            raise found
        return list(found)


def test_a_query_that_can_not_be_evaluated_is_logged_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = SystemState()
    for host in HOSTS:
        state.put(host, "master")
    for name, query in (("bad", "sum("), ("load", "node_load1"), ("typed", "")):
        state.put(Field(name=name, unit="1", query=query), "master")
    told: queue.SimpleQueue[Told] = queue.SimpleQueue()
    api = Answers({"sum(": InvalidInput("can't evaluate it"), "node_load1": [series("3", host="tokyo")]})
    with caplog.at_level(logging.WARNING):
        FieldQueries(api, state, told, lambda: 7).ask()
    event = told.get_nowait()(9)
    assert isinstance(event, HostsMeasured)
    assert (event.now_us, event.names, event.columns["load"].tolist()) == (9, ("tokyo",), [3.0])
    assert told.empty()
    assert "field 'bad': can't evaluate it" in caplog.text
