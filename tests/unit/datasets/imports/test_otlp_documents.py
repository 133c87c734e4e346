"""Files of OTLP's JSON however they were written: what people report that others can't read."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from foreign_recordings import AT_S, S, otlp_request, parts_of, rows_of, staged

from microservo.domain.rows import SpanRows
from microservo.errors import InvalidInput

REQUESTS = [otlp_request(AT_S + each) for each in range(3)]


def lines() -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in REQUESTS)


def pretty() -> bytes:
    """The file exporter's output put in order, as in issue 40623 of OpenTelemetry's collector-contrib."""
    return b"".join(json.dumps(each, indent=2).encode() + b"\n" for each in REQUESTS)


def exported_packed() -> bytes:
    """What its file exporter writes with `compression: zstd` (issues 32565 and 38250)."""
    packed = [zstandard.compress(json.dumps(each).encode()) for each in REQUESTS]
    return b"".join(len(each).to_bytes(4, "big") + each for each in packed)


WRITTEN: dict[str, Callable[[], bytes]] = {
    "metrics.jsonl": lines,
    "metrics.json": pretty,
    "metrics.zstd": exported_packed,
    "metrics.json.zst": exported_packed,
    "metrics.jsonl.gz": lambda: gzip.compress(lines()),
    "metrics.jsonl.zst": lambda: zstandard.compress(lines()),
    "metrics.json.gz": lambda: gzip.compress(pretty()),
}


def folder_with(tmp_path: Path, name: str, content: bytes) -> Path:
    (tmp_path / "set").mkdir(exist_ok=True)
    (tmp_path / "set" / name).write_bytes(content)
    return tmp_path / "set"


def refusal(folder: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        parts_of(folder, "otlp-json")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_points_come_out_however_a_file_was_written(name: str, tmp_path: Path) -> None:
    found = staged(folder_with(tmp_path, name, WRITTEN[name]()))
    assert found.format_name == "otlp-json"
    times = sorted(us for each in rows_of(found) for us in each.time_us.tolist())  # type: ignore[union-attr]
    assert times == [(AT_S + each) * S for each in range(3)]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_that_was_cut_is_refused_by_file_and_row(name: str, tmp_path: Path) -> None:
    whole = WRITTEN[name]()
    said = refusal(folder_with(tmp_path, name, whole[: len(whole) - 12]))
    assert f"{name}, row " in said


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_packed_line_of_a_gigabyte_costs_no_more_than_a_request_may(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    zeros = pack(bytes(8 << 20))
    # Members and frames may follow one another.
    folder = folder_with(tmp_path, "bomb.jsonl.gz", zeros * 128)
    tracemalloc.start()
    try:
        said = refusal(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "bomb.jsonl.gz, row 1" in said
    assert "unpacks to more than 200 times its size" in said or "longer than 67108864 bytes" in said
    assert peak < 256 << 20


def test_a_message_that_is_said_to_be_larger_than_a_request_may_be_is_not_read(tmp_path: Path) -> None:
    packed = zstandard.compress(b"{}")
    content = len(packed).to_bytes(4, "big") + packed + (1 << 30).to_bytes(4, "big")
    assert "row 1: no request of OTLP's JSON" in refusal(folder_with(tmp_path, "a.zst", content))
    request = zstandard.compress(json.dumps(REQUESTS[0]).encode())
    content = len(request).to_bytes(4, "big") + request + (1 << 30).to_bytes(4, "big")
    path = folder_with(tmp_path, "a.zst", content) / "a.zst"
    os.truncate(path, 1 << 30)
    assert "a.zst, row 2: the message is said to be 1073741824 bytes long" in refusal(path.parent)


def test_a_document_over_many_lines_without_an_end_is_named_by_its_first(tmp_path: Path) -> None:
    content = b'\n{\n"resourceMetrics": [\n' + b'{"resource": {}},\n' * 10
    said = refusal(folder_with(tmp_path, "open.json", content))
    assert "open.json, row 13: the document that begins in row 2 has no end; was it cut?" in said


def spans(trace_id: str, span_id: str, *, is_snake: bool) -> bytes:
    span = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": "Get",
        "startTimeUnixNano": AT_S * 10**9,
        "endTimeUnixNano": AT_S * 10**9 + 5000,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    text = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]})
    if is_snake:
        text = re.sub(r'"(\w+)":', lambda key: re.sub(r"[A-Z]", lambda at: f"_{at[0].lower()}", key[0]), text)
    return text.encode() + b"\n"


def test_ids_are_hexadecimal_under_keys_of_otlp_and_base64_under_those_of_protobuf(tmp_path: Path) -> None:
    """Issues 8720 and 36095 of OpenTelemetry's collector: both are OTLP to somebody."""
    by_hex = spans("61" * 16, "62" * 8, is_snake=False)
    ids = base64.b64encode(b"a" * 16).decode(), base64.b64encode(b"c" * 8).decode()
    folder = folder_with(
        tmp_path, "spans.jsonl", by_hex + spans(*ids, is_snake=True) + spans(*ids, is_snake=False)
    )
    found = staged(folder)
    both = [each for each in rows_of(found) if isinstance(each, SpanRows)]
    assert [(each.service, each.trace_id[0].tobytes()) for each in both] == [("cart", b"a" * 16)] * 2
    assert any("left out" in each and "is not hexadecimal" in each for each in found.notes)


def test_a_line_without_any_time_is_left_out_and_does_not_come_in_as_of_today(tmp_path: Path) -> None:
    records = [
        {"timeUnixNano": f"{AT_S}000000000", "body": {"stringValue": "a"}},
        {"body": {"stringValue": "b"}},
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    request = {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]}
    found = staged(folder_with(tmp_path, "logs.jsonl", json.dumps(request).encode() + b"\n"))
    assert found.records == 1
    assert "1 x a line has no time, and is left out" in found.notes
