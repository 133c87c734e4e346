"""What Prometheus writes by remote write 1.0 and 2.0 becomes points; what can't be used is answered so."""

from __future__ import annotations

import http.client
import struct
from collections.abc import Callable, Mapping, Sequence

import cramjam
import numpy as np
import pytest
from remote_write_requests import write_request_1, write_request_2

from microservo.adapters.otlp.media import TooLarge
from microservo.domain.rows import CUMULATIVE, LEVEL, PointRows
from microservo.sources.prometheus.identity import Subject, subject_of
from microservo.sources.remote_write.requests import read_request, unpacked
from microservo.sources.remote_write.settings import RemoteWriteSettings
from microservo.sources.remote_write.source import RemoteWriteSource
from microservo.sources.source import Parcel
from microservo.testing.sources import RecordingSink

T_MS = 1_769_860_800_125
LABELS = {"__name__": "requests_total", "job": "cart", "instance": "a:1", "code": "200"}
STALE = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"

Write = Callable[[Mapping[str, str], Sequence[tuple[int, float]], int], bytes]
VERSIONS = pytest.mark.parametrize(("version", "write"), [(1, write_request_1), (2, write_request_2)])


def of_job(labels: Mapping[str, str]) -> Subject | None:
    return subject_of(labels, "job", lambda _, pod: pod)


@VERSIONS
def test_samples_keep_their_instants_and_a_series_that_ended_has_no_further_value(
    version: int, write: Write
) -> None:
    body = write(LABELS, [(T_MS, 4.0), (T_MS + 1000, 6.0), (T_MS + 2000, STALE)], 0)
    written = read_request(body, version, of_job, raw=True)
    counters, levels = written.rows
    assert written.samples == 3
    assert (counters.service, counters.instance, counters.series.labels) == ("cart", "a:1", ("{code=200}",))
    assert counters.time_us.tolist() == [T_MS * 1000, T_MS * 1000 + 1_000_000]
    assert counters.temporality.tolist() == [CUMULATIVE] * 2
    assert (levels.value.tolist(), levels.temporality.tolist()) == ([4.0, 6.0], [LEVEL] * 2)


@VERSIONS
def test_the_metadata_tell_a_counter_from_a_gauge_against_its_name(version: int, write: Write) -> None:
    for kind, labels, temporalities in (
        (2, LABELS, {LEVEL}),
        (1, LABELS | {"__name__": "work"}, {CUMULATIVE}),
    ):
        written = read_request(write(labels, [(T_MS, 1.0)], kind), version, of_job, raw=False)
        found = {int(each) for row in written.rows for each in np.unique(row.temporality)}
        assert found == temporalities


def test_a_body_that_says_it_becomes_too_large_is_not_unpacked() -> None:
    with pytest.raises(TooLarge, match="send smaller batches"):
        unpacked(b"\xff\xff\xff\xff\x0f" + b"\x00" * 10)


class Durable(RecordingSink):
    """A sink that is quick."""

    def put(self, parcel: Parcel) -> None:
        super().put(parcel)
        parcel.durable()


def post(
    sink: RecordingSink, body: bytes, content_type: str, encoding: str = "snappy", path: str = "/api/v1/write"
) -> http.client.HTTPResponse:
    source = RemoteWriteSource(RemoteWriteSettings(port=0, answer_timeout_s=0.5))
    source.start(sink)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", source.port, timeout=60)
        connection.request("POST", path, body, {"Content-Type": content_type, "Content-Encoding": encoding})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer
    finally:
        source.stop()


def test_version_2_is_told_how_many_samples_were_written() -> None:
    sink = Durable()
    body = bytes(cramjam.snappy.compress_raw(write_request_2(LABELS, [(T_MS, 1.0), (T_MS + 5, 2.0)])))
    answer = post(sink, body, V2)
    assert answer.status == 204
    assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "2"
    (parcel,) = sink.parcels
    assert all(isinstance(row, PointRows) for row in parcel.rows)


def test_what_can_come_again_is_asked_to_and_what_can_t_be_used_is_not() -> None:
    body = bytes(cramjam.snappy.compress_raw(write_request_1(LABELS, [(T_MS, 1.0)])))
    kind, full, slow = "application/x-protobuf", RecordingSink(), RecordingSink()
    full.is_full = True
    assert (answer := post(full, body, kind)).status == 429
    assert answer.headers["Retry-After"] == "1"
    assert post(slow, body, kind).status == 503
    for status, raw, content_type, encoding, path in (
        (415, body, "application/json", "snappy", "/api/v1/write"),
        (415, body, f"{kind};proto=io.prometheus.write.v3.Request", "snappy", "/api/v1/write"),
        (415, body, kind, "gzip", "/api/v1/write"),
        (400, b"no snappy", kind, "snappy", "/api/v1/write"),
        (400, bytes(cramjam.snappy.compress_raw(b"\x0a\xff")), kind, "snappy", "/api/v1/write"),
        (404, body, kind, "snappy", "/write"),
    ):
        sink = Durable()
        assert post(sink, raw, content_type, encoding, path).status == status
        assert [each.undecodable is not None for each in sink.parcels] == [True] * (status == 400)
