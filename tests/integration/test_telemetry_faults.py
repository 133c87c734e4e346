"""Faults on telemetry, from the platform's mechanism through a real collector and broker to the dataset."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from live_run import LiveRun
from opentelemetry.trace import SpanKind
from target_states import TOKEN, local_instance, target_state

from microservo.adapters.clock import now_us
from microservo.adapters.kafka import KafkaBroker
from microservo.adapters.opentelemetry_sdk import Instrumentation
from microservo.adapters.ports import free_ports
from microservo.datasets import rebuild, verify, verify_against_live
from microservo.domain.faults.catalogue import KINDS
from microservo.domain.window_policy import WindowPolicy
from microservo.errors import InvalidInput
from microservo.platforms.local.platform import LocalPlatform
from microservo.platforms.local.state import Collector, write_state
from microservo.platforms.mechanism import Confirmation
from microservo.platforms.platform import kinds_here
from microservo.testing import eventually

pytestmark = pytest.mark.integration

S = 1_000_000
POLICY = WindowPolicy(size_us=S, first_cut_us=2 * S, final_cut_us=10 * S)
TRACES = "telemetry-traces"
IN_FORCE_S = 4.0


@contextmanager
def shop(port: int, service: str) -> Iterator[Counter[str]]:
    """An instance that serves some 50 requests a second, which are counted as they are sent."""
    sent: Counter[str] = Counter()
    over = threading.Event()
    sdk = Instrumentation(service=service, instance=f"{service}-0", otlp_url=f"http://127.0.0.1:{port}")

    def serve() -> None:
        while not over.wait(0.02):
            sdk.tracer.start_span("Get", kind=SpanKind.SERVER).end()
            sent["spans"] += 1

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()
        assert sdk.shutdown(10.0)


class Injector:
    """Puts kinds in force by the mechanism of the platform, one after another."""

    def __init__(self, state_file: Path) -> None:
        self._platform = LocalPlatform(state_file)

    def inject(self, kind: str, instance: str, **parameters: str) -> Confirmation:
        """The confirmation of the recovery."""
        (mechanism,) = self._platform.mechanisms(kind)
        wire = KINDS[kind].from_text(parameters).wire()
        applied = mechanism.apply(instance, kind, wire)
        assert mechanism.apply(instance, kind, wire).at_us == applied.at_us
        time.sleep(IN_FORCE_S)
        assert mechanism.holds(instance, kind, wire)
        assert not mechanism.holds("other-0", kind, wire)
        recovered = mechanism.recover(instance, kind, wire)
        assert applied.at_us < recovered.at_us
        assert not mechanism.holds(instance, kind, wire)
        return recovered

    def release(self, instance: str) -> None:
        """Applies what nobody owns, and has it removed."""
        (mechanism,) = self._platform.mechanisms("telemetry-drop")
        mechanism.apply(instance, "left", KINDS["telemetry-drop"].from_text({}).wire())
        assert mechanism.release_unowned("other-0", dict) == []
        assert mechanism.release_unowned(instance, dict) == ["left"]

    def refuse(self, instance: str) -> None:
        (mechanism,) = self._platform.mechanisms("telemetry-drop")
        with pytest.raises(InvalidInput, match="a collector can't make 'magic'"):
            mechanism.apply(instance, "f", ("magic", {}))


def test_what_faults_did_to_telemetry_is_in_the_ledger_and_the_rebuilt_windows_are_the_live_ones(
    kafka_broker: KafkaBroker, topic_prefix: str, tmp_path: Path
) -> None:
    run = LiveRun(kafka_broker, topic_prefix, tmp_path, partitions=2, policy=POLICY)
    (control_port,) = free_ports(1)
    state_file = tmp_path / "target.json"
    names = ("drop", "delay", "duplicate", "plain")
    state = target_state(
        *(local_instance(f"{name}-0") for name in names),
        collector=Collector(pid=1, control_url=f"http://127.0.0.1:{control_port}"),
    )
    write_state(state_file, state)
    assert "telemetry-drop" in kinds_here(LocalPlatform(state_file))
    injector = Injector(state_file)
    control = {"MICROSERVO_CONTROL_PORT": str(control_port), "MICROSERVO_CONTROL_TOKEN": TOKEN}
    with run.pipeline.workers(), run.injector(), run.collector(**control) as collector:
        eventually(lambda: run.has_windows_after(0, "host"), timeout_s=120, what="windows")
        with (
            shop(collector.port, "drop"),
            shop(collector.port, "delay"),
            shop(collector.port, "duplicate"),
            shop(collector.port, "plain") as plain,
        ):
            seen_us = now_us()
            for name in names:
                eventually(
                    lambda name=name: run.has_windows_after(seen_us, name),  # type: ignore[misc]
                    timeout_s=120,
                    what=f"windows of {name}",
                )
            injector.refuse("drop-0")
            injector.release("drop-0")
            acted = {
                kind: injector.inject(f"telemetry-{kind}", f"{kind}-0", **given).acted
                for kind, given in {
                    "drop": {"signals": "traces"},
                    "delay": {"delay": "6s", "signals": "traces"},
                    "duplicate": {"signals": "traces"},
                }.items()
            }
            over_us = now_us()
            eventually(
                lambda: run.has_windows_after(over_us + 3 * S, "plain"), timeout_s=120, what="later windows"
            )
        assert plain["spans"] > 0
        eventually(
            lambda: run.has_windows_after(over_us + 15 * S, "host"),
            timeout_s=120,
            what="final windows",
        )
        run.end()
        dataset = tmp_path / "dataset"
        rebuild(kafka_broker, run_id="run-1", out_dir=dataset, topic_prefix=topic_prefix)
        eventually(
            lambda: verify_against_live(dataset, kafka_broker, topic_prefix) == [],
            timeout_s=120,
            what="the rebuilt windows are the live ones, to the byte",
        )
    assert verify(dataset) == []
    ledger: Counter[tuple[str, str]] = Counter()
    for row in pq.read_table(dataset / "ledger.parquet").to_pylist():
        if row["source"] == TRACES:
            ledger.update({(row["service"], name): row[name] for name in ("lost", "late", "duplicate")})
    assert ledger["drop", "lost"] >= (acted["drop"] or 0) > 0
    assert ledger["delay", "late"] > 0
    assert ledger["duplicate", "duplicate"] >= (acted["duplicate"] or 0) > 0
    assert {name for name, count in ledger if count == "lost" and ledger[name, count]} == {"drop"}
    assert ledger["plain", "duplicate"] == 0
