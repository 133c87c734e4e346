"""Bodies of any size as requests, with a bound on what they become in memory."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from otlp_requests import T0_US, attribute, gauge, line, logs, metrics, resource, span, traces

from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode
from microservo.adapters.otlp.envelope import PIECE_BYTES, pieces
from microservo.adapters.otlp.json_requests import to_json
from microservo.adapters.otlp.line_ids import LineIds
from microservo.adapters.otlp.media import Media, TooLarge, TooManyRecords
from microservo.adapters.otlp.requests import Parsed, read_requests
from microservo.domain.rows import SpanRows
from microservo.domain.telemetry import Signal
from microservo.errors import InvalidMessage

MIB = 1024 * 1024
LIMIT = 100_000


def field(number: int, message: bytes) -> bytes:
    """A message as a field of another, with the longest length there is: writers may do so."""
    length = len(message)
    return (
        bytes([number << 3 | 2, *(length >> 7 * index & 127 | 128 for index in range(4)), length >> 28])
        + message
    )


def rows_of(body: bytes) -> list[tuple[str, str, int]]:
    """Service, instance and number of each span, in order."""
    found = []
    for parsed in read_requests("traces", Media.PROTOBUF, body, 10 * LIMIT):
        for rows in decode(parsed.request, Instants(now_us=T0_US + 1_000_000), LineIds(b"")).rows:
            assert isinstance(rows, SpanRows)
            found += [
                (rows.service, rows.instance, int.from_bytes(each.tobytes(), "big")) for each in rows.span_id
            ]
    return found


def test_a_body_of_usual_size_is_one_request() -> None:
    request = traces([span(number=7)] * 100)
    assert list(read_requests("traces", Media.PROTOBUF, request.SerializeToString(), LIMIT)) == [
        Parsed(request=request)
    ]


def test_a_large_body_holds_in_pieces_what_it_held() -> None:
    chance = random.Random(7)
    body, told = b"", []
    number = 0
    for group in range(40):
        origin = resource(f"service-{group % 3}", f"instance-{group}")
        size = chance.choice([0, 1, 10, 3000, 20_000])
        spans = [span(number=number + index + 1) for index in range(size)]
        told += [(f"service-{group % 3}", f"instance-{group}", number + index + 1) for index in range(size)]
        number += size
        body += traces(spans, origin).SerializeToString()
    assert len(body) > 3 * PIECE_BYTES
    assert rows_of(body) == told
    sizes = [len(piece) for piece in pieces(body, 2 * LIMIT) if isinstance(piece, bytes)]
    assert max(sizes) <= PIECE_BYTES + 1000
    assert len(sizes) >= 3


def test_a_resource_may_stand_behind_its_spans() -> None:
    spans = b"".join(field(2, span(number=number).SerializeToString()) for number in range(1, 30_001))
    scopes = field(2, field(1, b"") + spans + b"\x98\x06\x01" + b"\xa5\x06abcd" + b"\xa1\x06abcdefgh")
    body = field(1, scopes + field(1, resource("late").SerializeToString()) + field(3, b"url"))
    found = rows_of(body)
    assert {(service, instance) for service, instance, _ in found} == {("late", "cart-0")}
    assert [number for *_, number in found] == list(range(1, 30_001))


SPAN = span().SerializeToString()


@pytest.mark.parametrize(
    ("signal", "body"),
    [
        ("traces", field(1, field(2, b"\x12\x00" * 2 * MIB))),
        ("traces", field(1, field(2, b"\x12\x00" * 150_000))),
        ("traces", b"\x0a\x00" * 2 * MIB),
        ("traces", field(1, b"\x12\x00" * 2 * MIB)),
        ("logs", field(1, field(2, field(2, line().SerializeToString()) * 100_000))),
        ("logs", field(1, field(2, b"\x12\x00" * 150_000))),
        ("metrics", field(1, field(2, field(2, field(5, b"\x0a\x00" * 150_000))))),
        ("metrics", field(1, field(2, b"\x12\x00" * 150_000))),
    ],
)
def test_a_body_of_too_many_records_is_refused(signal: Signal, body: bytes) -> None:
    with pytest.raises(TooManyRecords, match=r"more than [12]00000 .*; send smaller batches"):
        list(read_requests(signal, Media.PROTOBUF, body, LIMIT))


@pytest.mark.parametrize(
    ("signal", "request_"),
    [
        ("traces", traces([span()] * 9)),
        ("logs", logs([line()] * 9)),
        ("metrics", metrics([gauge()] * 5)),
        ("metrics", metrics([Metric(name="m", gauge=Gauge(data_points=[NumberDataPoint()] * 9))])),
    ],
)
def test_the_limit_holds_for_small_numbers_too(signal: Signal, request_: Message) -> None:
    body = request_.SerializeToString()
    with pytest.raises(TooManyRecords, match="more than 10 records"):
        list(read_requests(signal, Media.PROTOBUF, body, 10))
    assert len(list(read_requests(signal, Media.PROTOBUF, body, 12))) == 1


def test_json_is_refused_by_its_values() -> None:
    body = json.dumps(to_json(traces([span()] * 20))).encode()
    assert len(list(read_requests("traces", Media.JSON, body, 40))) == 1
    with pytest.raises(TooManyRecords, match="more than 100 values"):
        list(read_requests("traces", Media.JSON, body, 10))
    with pytest.raises(TooManyRecords, match="more than 25 records"):
        list(read_requests("traces", Media.JSON, b'{"resourceSpans":[' + b"{}," * 30 + b"{}]}", 25))


def test_a_record_that_is_too_large_costs_only_itself() -> None:
    large = span(name="x" * (3 * MIB)).SerializeToString()
    body = field(1, field(2, field(2, SPAN) + field(2, large) + field(2, SPAN)))
    parsed = list(read_requests("traces", Media.PROTOBUF, body, LIMIT))
    assert (
        sum(
            decode(each.request, Instants(now_us=T0_US + 1_000_000), LineIds(b"")).rows[0].count
            for each in parsed
            if each.request.ByteSize()
        )
        == 2
    )
    (refused,) = [refused for each in parsed for refused in each.refused]
    assert refused.reason.endswith("bytes, the limit is 2097152; send smaller ones")


@pytest.mark.parametrize(
    "body",
    [
        field(1, field(1, bytes(3 * MIB)) + field(2, field(2, SPAN))),
        field(1, field(1, bytes(2 * MIB - 10)) * 2 + field(2, field(2, SPAN))),
    ],
)
def test_a_resource_that_does_not_fit_a_piece_is_too_large(body: bytes) -> None:
    with pytest.raises(TooLarge, match="one resource has more than 2097152 bytes; send fewer attributes"):
        list(read_requests("traces", Media.PROTOBUF, body, LIMIT))


LARGE = field(1, field(2, field(2, SPAN) * 50_000))


@pytest.mark.parametrize(
    "body",
    [
        LARGE[:-3],
        LARGE + b"\xff",
        LARGE + b"\xff" * 20,
        LARGE + b"\x08",
        bytes([0xFF]) * 3 * MIB,
        field(1, field(2, field(2, SPAN) * 50_000 + b"\x12\x20")),
    ],
)
def test_a_large_body_that_is_no_protobuf_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidMessage, match="is no "):
        list(read_requests("traces", Media.PROTOBUF, body, LIMIT))


def test_small_groups_of_a_large_body_stay_whole() -> None:
    origin = resource("cart")
    origin.attributes.append(attribute("note", "x" * 1000))
    body = field(1, ResourceSpans(resource=origin).SerializeToString()) * 5000
    found = list(pieces(body, LIMIT))
    assert len(found) == 3
    joined = b"".join(piece for piece in found if isinstance(piece, bytes))
    assert ExportTraceServiceRequest.FromString(joined) == ExportTraceServiceRequest.FromString(body)


MEMORY = """
import resource, sys
from pathlib import Path
from microservo.adapters.otlp.requests import read_requests
from microservo.adapters.otlp.media import Media, TooLarge

def peak_bytes():
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux gives ru_maxrss on from the process that started this one.
    (kib,) = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(kib) * 1024

body = Path(sys.argv[3]).read_bytes()
before_bytes = peak_bytes()
try:
    for _ in read_requests(sys.argv[1], Media[sys.argv[2]], body, 100_000):
        pass
except TooLarge as error:
    print(error)
print(peak_bytes() - before_bytes)
"""


@pytest.mark.parametrize(
    ("signal", "media", "body"),
    [
        ("traces", "PROTOBUF", field(1, field(2, b"\x12\x00" * 8 * MIB))),
        ("traces", "PROTOBUF", b"\x0a\x00" * 8 * MIB),
        ("traces", "PROTOBUF", field(1, field(2, field(2, b"\x4a\x00" * 512 * 1024) * 16))),
        ("traces", "PROTOBUF", field(1, field(2, field(2, b"\x6a\x00" * 512) * 15_000))),
        ("metrics", "PROTOBUF", field(1, field(2, field(2, field(10, b"\x0a\x00" * 512 * 1024)) * 16))),
        ("traces", "JSON", b'{"resourceSpans":[' + b"{}," * 5 * MIB + b"{}]}"),
    ],
    ids=["spans", "resources", "attributes", "links", "points", "json"],
)
def test_no_body_takes_gigabytes(signal: str, media: str, body: bytes, tmp_path: Path) -> None:
    """Parsed as a whole, each of these would take from half a gigabyte to several."""
    file = tmp_path / "body"
    file.write_bytes(body)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, signal, media, str(file)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) < 400 * MIB, done.stdout
