"""What a collector says of services: what they were, also while they are silent, until they are gone."""

from __future__ import annotations

import contextlib

import numpy as np
from otlp_requests import T0_US, attribute, gauge, line, logs, metrics, resource, span, traces

from microservo.domain.rows import MetricRows, coded
from microservo.domain.silence import signals_of
from microservo.log.writers import COLLECTOR_WRITER
from microservo.sources.source import Parcel, Sink
from microservo.testing import eventually
from schemas.codec import SchemaError, decode_as
from schemas.envelope import Stamp
from schemas.examples import examples
from schemas.records import MetricBatch, ServiceInventory
from services.telemetry_collector.delays import Delays
from services.telemetry_collector.inventories import Inventories
from services.telemetry_collector.vocabulary import Vocabulary
from tests.unit.telemetry_collector.harness import Running, Start

S = 1_000_000
SHOP = resource("jshop")


def shown(running: Running) -> list[ServiceInventory]:
    """The inventories on the topic, in the order of time."""
    found = []
    for message in running.messages("telemetry-metrics"):
        try:
            found.append(decode_as(ServiceInventory, message.value or b""))
        except SchemaError:
            continue
    return sorted(found, key=lambda each: (each.time_us, each.service))


class Meter:
    """A source that measures services once, from outside."""

    name = "meter"
    delay_us = 0

    def __init__(self, *services: str) -> None:
        self._services = services

    def start(self, sink: Sink) -> None:
        rows = [
            MetricRows(
                service=service,
                instance="a",
                time_us=np.array([T0_US], np.int64),
                name=coded(["queue.depth"]),
                value=np.array([1.0]),
                is_metered=True,
            )
            for service in self._services
        ]
        sink.put(Parcel(signal="metrics", rows=rows))

    def stop(self) -> None:
        """There is nothing to end."""


def next_one(running: Running) -> list[ServiceInventory]:
    """What is known a second later."""
    before = len(shown(running))
    running.clock.advance(S)
    eventually(lambda: len(shown(running)) > before, what="the inventories of the next second")
    newest_us = shown(running)[-1].time_us
    return [each for each in shown(running) if each.time_us == newest_us]


def one_service() -> ServiceInventory:
    """What was known of a service once."""
    (known,) = examples()["service_inventory", 1].values()
    assert isinstance(known, ServiceInventory)
    return known


def send_all(running: Running) -> None:
    """A request served, one called, a line and a point."""
    spans = [span(number=1), span(number=2, peer="redis", kind=3, name="GET")]
    running.send("/v1/traces", traces(spans, SHOP).SerializeToString())
    running.send("/v1/logs", logs([line(severity=17)], SHOP).SerializeToString())
    running.send("/v1/metrics", metrics([gauge()], SHOP).SerializeToString())


def test_each_second_says_what_a_service_has_shown_and_goes_on_when_it_is_silent(start: Start) -> None:
    with start() as running:
        send_all(running)
        (known,) = next_one(running)
        (later,) = next_one(running)
    assert (known.service, known.endpoints, known.peers) == ("jshop", ("GetCart",), ("redis",))
    assert (known.templates, known.metered) == (("GetCart served in <*> ms",), ())
    assert (known.levels, known.rates, known.steps) == (("queue.depth",), (), ())
    assert known.signals == ("logs", "metrics", "traces")
    assert dict(signals_of(known))["traces"].newest_us == T0_US + 1500
    assert (later.time_us - known.time_us, later.newest_us) == (S, known.newest_us)


def say(running: Running, body: str) -> tuple[str, ...]:
    """Sends a line now; the templates that have a feature of their own a second later."""
    line_now = line(running.clock(), body)
    running.send("/v1/logs", logs([line_now], SHOP).SerializeToString())
    (known,) = next_one(running)
    return known.templates


def test_what_is_first_logged_after_a_minute_has_no_name_of_its_own_for_an_hour(start: Start) -> None:
    with start() as running:
        assert say(running, "hello") == ("hello",)
        running.clock.advance(50 * S)
        assert say(running, "bye") == ("bye", "hello")
        running.clock.advance(10 * S)
        assert say(running, "no route to host") == ("bye", "hello")
    with start() as running:
        running.clock.advance(70 * S)
        assert say(running, "no route to host") == ("bye", "hello"), "started again, it learns no longer"
        running.clock.advance(3600 * S)
        assert say(running, "hello") == ("bye", "hello", "no route to host")


def test_an_inventory_holds_no_more_than_a_hundred_templates() -> None:
    vocabulary = Vocabulary()
    vocabulary.add([f"template {number:03}" for number in range(200)], S)
    assert vocabulary.named(S) == tuple(f"template {number:03}" for number in range(100))


def test_an_inventory_names_inner_steps_and_protocols_other_than_http(start: Start) -> None:
    # The protocol of an operation is learned once, so this one has a name of its own.
    rpc, step = span(number=3, name="GetStock"), span(number=1, kind=1, name="render")
    rpc.attributes.append(attribute("rpc.system", "grpc"))
    with start() as running:
        running.send("/v1/traces", traces([rpc, step], SHOP).SerializeToString())
        (known,) = next_one(running)
    assert (known.endpoints, known.steps) == (("*rpc", "GetStock"), ("render",))


def test_an_inventory_names_what_others_measure_of_a_service_that_is_known() -> None:
    inventories = Inventories("run-1", Delays(2 * S, {}), from_us=S, interval_us=S)
    inventories.add_metered("cart", ["queue.age", "load.rate"])
    measured = points("queue.age", "load.rate", intervals_us=(0, S))
    inventories.observe(measured, S)
    assert list(inventories.due(S)) == []
    inventories.observe(points("heap", intervals_us=(0,)), S)
    inventories.observe(measured, S)
    (known,) = inventories.due(2 * S)
    assert (known.levels, known.rates) == (("heap", "queue.age"), ("load.rate",))
    assert known.metered == ("load.rate", "queue.age")


def points(*names: str, intervals_us: tuple[int, ...]) -> MetricBatch:
    """A point of each series of the cart, with what it is a rate over."""
    count = len(names)
    return MetricBatch(
        run_id="run-1",
        service="cart",
        instances=("cart-0",),
        names=names,
        time_us=np.full(count, S, "<i8").tobytes(),
        instance=bytes(2 * count),
        name=np.arange(count, dtype="<u2").tobytes(),
        value=bytes(8 * count),
        interval_us=np.array(intervals_us, "<i8").tobytes(),
    )


def test_an_inventory_is_stamped_and_is_no_record_that_is_counted(start: Start) -> None:
    with start() as running:
        send_all(running)
        next_one(running)
        stamps = [Stamp.read(each.headers) for each in running.messages("telemetry-metrics") if each.value]
    assert [stamp.total for stamp in stamps] == [1, 1]
    assert [stamp.writer for stamp in stamps] == [COLLECTOR_WRITER] * 2


def test_what_others_measure_does_not_make_a_service_known(start: Start) -> None:
    with start(more=[Meter("jshop", "host")]) as running:
        running.send("/v1/metrics", metrics([gauge()], SHOP).SerializeToString())
        running.send("/v1/logs", logs([line()], SHOP).SerializeToString())
        (known,) = next_one(running)
    assert (known.service, known.metered) == ("jshop", ("queue.depth",))
    assert known.signals == ("logs",)


def test_a_collector_that_is_started_again_knows_what_it_knew(start: Start) -> None:
    with start() as running:
        send_all(running)
        (known,) = next_one(running)
    with start() as running:
        running.clock.advance(40 * S)
        *_, again = next_one(running)
    assert (again.service, again.endpoints, again.peers) == (known.service, known.endpoints, known.peers)
    assert (again.signals, again.newest_us) == (known.signals, known.newest_us)
    with start(writer="collector-2") as running:
        running.clock.advance(80 * S)
        running.send("/v1/logs", logs([line()]).SerializeToString())
        (other,) = next_one(running)
    assert other.service == "cart", "another collector knows what it has received"


def test_a_delay_that_is_declared_goes_along(start: Start) -> None:
    with start(delays_s={"jshop": 5}) as running:
        send_all(running)
        (known,) = next_one(running)
    assert known.delay_us == 5 * S


def test_a_delay_falls_so_slowly_that_windows_stay_in_order() -> None:
    delays = Delays(2 * S, {})
    known = one_service()
    inventories = Inventories("run-1", delays, from_us=known.time_us + S, interval_us=S)
    inventories.restore([known])
    delays.forget(known.service)
    found = [each.delay_us for each in inventories.due(known.time_us + 9 * S)]
    assert found == [3_000_000, 2_500_000, 2_000_000, 1_500_000, 1_000_000, 500_000, 0, 0, 0]


def test_a_stall_of_the_collector_leaves_no_window_without_an_inventory() -> None:
    inventories = Inventories("run-1", Delays(2 * S, {}), from_us=T0_US, interval_us=S)
    inventories.restore([one_service()])
    assert [each.time_us for each in inventories.due(T0_US)] == [T0_US]
    late = [each.time_us for each in inventories.due(T0_US + 7 * S + S // 2)]
    assert late == [T0_US + second * S for second in range(1, 8)]
    assert inventories.due_us == T0_US + 8 * S
    after_a_night = list(inventories.due(T0_US + 30_000 * S))
    assert len(after_a_night) == 61, "no flood"


def test_nothing_is_promised_beyond_an_inventory_that_is_due(start: Start) -> None:
    with start() as running:
        send_all(running)
        running.clock.advance(5 * S)
        eventually(lambda: len(shown(running)) >= 5, what="the inventories of all five seconds")
    for message in running.messages("telemetry-metrics"):
        with contextlib.suppress(SchemaError):
            inventory = decode_as(ServiceInventory, message.value or b"")
            assert Stamp.read(message.headers).watermark_us <= inventory.time_us


def test_a_service_that_is_declared_gone_is_known_again_when_it_sends_again(start: Start) -> None:
    gone_us: dict[str, int] = {}
    with start(gone_us=lambda: gone_us) as running:
        send_all(running)
        running.send("/v1/logs", logs([line()]).SerializeToString())
        assert [each.service for each in next_one(running)] == ["cart", "jshop"]
        gone_us["jshop"] = running.clock()
        assert [each.service for each in next_one(running)] == ["cart"]
        later = span(running.clock(), number=5)
        running.send("/v1/traces", traces([later], SHOP).SerializeToString())
        _, known = next_one(running)
    assert (known.service, known.peers) == ("jshop", ())
