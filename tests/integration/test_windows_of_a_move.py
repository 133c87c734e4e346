"""A manager moves a container of a running system: the windows of its service say so, live and rebuilt."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from asking_users import use
from live_run import LiveRun
from machine import TIMEOUT_S, machine_of, state_file
from managers import ASIA, EUROPE

from microservo.adapters.kafka import KafkaBroker
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.datasets.windows import value_hash
from microservo.domain.window_policy import WindowPolicy
from microservo.log.runs import find_run
from microservo.testing import eventually
from schemas.catalogue import FEATURE_WINDOWS, LABELLED_WINDOWS, SERVICE_ACTIONS
from schemas.codec import decode_as
from schemas.records import LabelledWindow

pytestmark = pytest.mark.integration

S = 1_000_000
POLICY = WindowPolicy(size_us=2 * S, first_cut_us=S, final_cut_us=10 * S)
TOPOLOGY = """
name = "pair"
entry = "front"
[services.front]
type = "frontend"
[services.front.endpoints.Page]
calls = [{ service = "back", endpoint = "Work", timeout_ms = 60000 }]
[services.back]
[services.back.endpoints.Work]
cpu_ms = 1.0
[[journeys]]
name = "visit"
steps = [{ endpoint = "Page" }]
"""


def test_a_container_that_a_manager_moves_is_on_the_windows_of_its_service_live_and_rebuilt(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    site = LiveRun(kafka_broker, topic_prefix, tmp_path, partitions=2, policy=POLICY)
    with (
        site.pipeline.workers(),
        site.injector(),
        site.collector(MICROSERVO_TARGET_STATE=str(state_file(tmp_path))) as collector,
        machine_of(
            kafka_broker, topic_prefix, tmp_path, TOPOLOGY, otlp=f"http://127.0.0.1:{collector.port}"
        ) as machine,
    ):
        world, manager = machine.world, machine.world.client.manager
        world.manager()
        manager.create("settings/manager", migration_delay_us=2_000_000)
        world.add_hosts("berlin", "tokyo")
        manager.seed(str(machine.topology))
        manager.launch_app("pair", near=EUROPE, finish_s=TIMEOUT_S)
        eventually(
            lambda: list(world.states().values()) == ["running"] * 2, timeout_s=TIMEOUT_S, what="both run"
        )
        eventually(
            lambda: (
                SERVICE_ACTIONS
                in {each.topic for each in find_run(kafka_broker, "run-1", topic_prefix).run.writers}
            ),
            timeout_s=60,
            what="the manager is a declared writer of the run",
        )
        (front,) = eventually(lambda: machine.addresses("front"), timeout_s=TIMEOUT_S, what="front answers")
        stop = threading.Event()
        with ThreadPoolExecutor(max_workers=1) as pool:
            users = pool.submit(asyncio.run, use(f"http://{front}", stop))
            try:
                (old,) = [name for name in world.running() if name.startswith("back")]
                (new,) = manager.migrate(old, near=ASIA, finish_s=TIMEOUT_S).containers
                eventually(
                    lambda: old not in world.running(), timeout_s=TIMEOUT_S, what="the old one is stopped"
                )
                eventually(
                    lambda: any(
                        action.requests_lost is not None for each in moved(site) for action in each.actions
                    ),
                    timeout_s=TIMEOUT_S,
                    what="a window that says what the move has cost and lost",
                )
            finally:
                stop.set()
            assert set(users.result()) == {200}
        site.end()
        live = moved(site)

    assert {each.service for each in live} == {"back"}
    assert {each.revision > 0 for each in live} == {True}, "revision 0 waits for no manager"
    for window in live:
        (action,) = [each for each in window.actions if each.what == "move"]
        assert (action.container, action.replaces) == (new, old)
        assert (action.from_host, action.from_region, action.to_host, action.to_region) == (
            *("berlin", "Europe", "tokyo", "Asia"),
        )
        assert action.origin == "command"
        assert action.begun_us is not None
        assert action.begun_us < window.end_us
        assert 0 < action.overlap <= 1
    said = [action for each in live for action in each.actions if action.requests_lost is not None]
    assert {(each.outcome, each.requests_lost) for each in said} == {("done", 0)}
    assert all(each.cost_host_s is not None and each.cost_host_s > 2 for each in said)
    for message in site.pipeline.read(FEATURE_WINDOWS):
        assert said[0].decision_id.encode() not in (message.value or b""), "no algorithm sees it"

    dataset = tmp_path / "dataset"
    rebuild(kafka_broker, run_id="run-1", out_dir=dataset, topic_prefix=topic_prefix)
    assert verify(dataset) == []
    (row,) = [
        each for each in pq.read_table(dataset / "actions.parquet").to_pylist() if each["what"] == "move"
    ]
    assert (row["service"], row["container"], row["outcome"], row["requests_lost"]) == (
        "back",
        new,
        "done",
        0,
    )
    revisions = pq.read_table(dataset / "window_revisions.parquet").to_pylist()
    rebuilt = {
        (each["start"], each["revision"]): each["sha256"]
        for each in revisions
        if row["decision_id"] in each["actions"]
    }
    written = {
        (start_of(window), window.revision): value_hash(value)
        for value in (message.value for message in site.pipeline.read(LABELLED_WINDOWS))
        if value and carries_a_move(window := decode_as(LabelledWindow, value))
    }
    assert rebuilt
    # What was still written once the run had ended is in no dataset.
    assert rebuilt.items() <= written.items(), "the very same bytes"
    assert verify_against_live(dataset, kafka_broker, topic_prefix) == []


def moved(site: LiveRun) -> list[LabelledWindow]:
    """The windows that carry a move, as they were written live."""
    windows = [
        decode_as(LabelledWindow, message.value)
        for message in site.pipeline.read(LABELLED_WINDOWS)
        if message.value
    ]
    return [each for each in windows if carries_a_move(each)]


def carries_a_move(window: LabelledWindow) -> bool:
    return any(action.what == "move" for action in window.actions)


def start_of(window: LabelledWindow) -> datetime:
    return datetime.fromtimestamp(window.start_us / S, UTC)
