import json
from dataclasses import replace

from benchmarks.stream import RECORDS, RUN_ID, US, Plan, as_json, messages
from microservo.domain.join import process_message
from microservo.domain.joined_topics import WAITED_FOR
from microservo.domain.telemetry import record_count
from microservo.domain.window_policy import WindowPolicy
from microservo.domain.windows import Windower
from schemas.codec import encode
from schemas.envelope import Stamp
from schemas.records import ServiceFault

PLAN = Plan(seconds=60, services=3)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert [encode(sent.record) for sent in messages(PLAN)] == [
        encode(sent.record) for sent in messages(PLAN)
    ]


def test_another_seed_gives_others() -> None:
    other = Plan(seed=8, seconds=60, services=3)
    assert [encode(sent.record) for sent in messages(PLAN)] != [
        encode(sent.record) for sent in messages(other)
    ]


def test_messages_come_in_the_order_they_are_sent() -> None:
    times = [sent.at_us for sent in messages(PLAN)]
    assert times == sorted(times)


def test_every_second_of_every_service_holds_250_records() -> None:
    batches = [sent for sent in messages(PLAN) if not isinstance(sent.record, ServiceFault)]
    assert sum(sent.records for sent in batches) == 60 * 3 * 250


def test_messages_hold_as_many_records_as_planned() -> None:
    for sent in messages(replace(PLAN, records=10)):
        if not isinstance(sent.record, ServiceFault):
            assert record_count(sent.record) == sent.records == 10


def test_as_json_a_batch_holds_the_same_records_at_the_same_instants() -> None:
    sent = next(iter(messages(PLAN)))
    assert not isinstance(sent.record, ServiceFault)
    rows = list(as_json(sent.record))
    assert len(rows) == RECORDS
    for time_us, value in rows:
        row = json.loads(value)
        assert row["service"] == sent.service
        assert round(row["ts"] * US) == time_us


def test_the_windower_takes_every_message_and_labels_some_windows() -> None:
    windower = Windower(WindowPolicy())
    labelled = revised = 0
    for sequence, sent in enumerate(messages(PLAN)):
        stamp = Stamp(run=RUN_ID, watermark_us=sent.at_us, writer="bench", sequence=sequence, total=0)
        for source in WAITED_FOR:
            windower.heartbeat(source, stamp)
        process_message(windower, sent.topic, encode(sent.record), stamp.headers())
        for closed in windower.close():
            labelled += bool(closed.truth.labels)
            revised += closed.revision
    assert labelled > 0
    assert revised > 0
