"""Log lines that a sender repeats are known again; those that the world repeats are not the same."""

from __future__ import annotations

import numpy as np
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from otlp_requests import T0_US, line, logs, resource

from microservo.adapters.otlp.checks import Instants
from microservo.adapters.otlp.decoding import decode_body
from microservo.adapters.otlp.line_ids import LineIds
from microservo.adapters.otlp.media import Media
from microservo.domain.rows import LogRows

SIXTY = logs([line(T0_US, "GET / 500")] * 60)


def ids_of(body: bytes, now_us: int = T0_US) -> list[int]:
    found = decode_body("logs", Media.PROTOBUF, body, Instants(now_us=now_us), 100_000)
    return [number for rows in found.rows if isinstance(rows, LogRows) for number in rows.line_id.tolist()]


def test_sixty_equal_lines_of_one_second_are_sixty_lines() -> None:
    assert len(set(ids_of(SIXTY.SerializeToString()))) == 60


def test_a_body_that_is_sent_again_has_the_same_lines_and_another_has_others() -> None:
    body, other = SIXTY.SerializeToString(), logs([line(T0_US + 1, "GET / 500")] * 60).SerializeToString()
    assert ids_of(body) == ids_of(body, T0_US + 9)
    assert not set(ids_of(body)) & set(ids_of(other))


def test_the_lines_of_all_groups_and_pieces_of_a_body_differ() -> None:
    lines = [line(T0_US, "x" * 1000)] * 1500
    body = b"".join(logs(lines, resource(name)).SerializeToString() for name in ("a", "a", "b"))
    assert len(set(ids_of(body))) == 4500


def test_a_refused_line_leaves_the_ids_of_the_others_as_they_are() -> None:
    lines = [line(), LogRecord(time_unix_nano=2**63), line()]
    ids = LineIds(logs(lines).SerializeToString()).of_next(3).tolist()
    assert ids_of(logs(lines).SerializeToString()) == [ids[0], ids[2]]


def test_no_id_is_zero_for_that_is_unknown() -> None:
    ids = LineIds(b"")
    assert np.concatenate([ids.of_next(1), ids.of_next(10_000)]).min() > 0
