"""Documents of log lines, of several shippers at once, as rows."""

from __future__ import annotations

import numpy as np
import pytest

from microservo.domain.rows import LogRows
from microservo.sources.documents.fields import Documents, Fields
from microservo.sources.documents.logs import digests, log_rows
from microservo.sources.documents.origin import by_origin

INSTANT = "2026-01-01T00:00:0{}.000001Z"
MIXED: tuple[Fields, ...] = (
    {"message": ["GetCart 1"], "service.name": ["cart"], "log.level": [" WARN "], "trace.id": ["0a" * 16]},
    {"body.text": ["Pay"], "service.name": ["pay"], "severity_number": [17], "log.level": ["info"]},
    {"message": [None], "body": ["by its body"], "service.name": ["cart"], "severity_number": [99]},
    {"message": ["x" * 20_000], "log.level": [], "severity": ["fatal"]},
    {"message": ["GetCart 1"], "service.name": ["cart"], "container.name": ["c"], "span.id": ["no id"]},
    {
        "message": ["o"],
        "log.file.path": ["/a"],
        "log.offset": [0],
        "host.name": ["h"],
        "severity_number": ["?"],
    },
)


def documents() -> list[Fields]:
    return [{"@timestamp": [INSTANT.format(number)], **each} for number, each in enumerate(MIXED)]


def lines(rows: LogRows) -> list[tuple[object, ...]]:
    """Each line with who it is from."""
    columns = (rows.time_us, rows.severity, rows.trace_id, rows.span_id, rows.line_id)
    templates = [rows.template.names[code] for code in rows.template.codes]
    values = zip(*(column.tolist() for column in columns), templates, rows.bodies, strict=True)
    return [(rows.service, rows.instance, rows.identity, *each) for each in values]


def test_a_page_gives_the_lines_that_its_documents_give_one_by_one() -> None:
    found, ids = documents(), digests([f"key {number}" for number in range(len(MIXED))])
    together = [line for rows in log_rows(found, ids) for line in lines(rows)]
    alone = [
        line
        for number, each in enumerate(found)
        for rows in log_rows([each], ids[number : number + 1])
        for line in lines(rows)
    ]
    assert sorted(together, key=lambda line: str(line[3])) == alone


def test_what_a_document_says_of_its_line_is_found_whoever_wrote_it() -> None:
    rows = list(log_rows(documents(), digests("abcdef")))
    found = [(row[0], row[-1], row[4]) for each in rows for row in lines(each)]
    assert found == [
        ("cart", "GetCart 1", 13),
        ("cart", "by its body", 0),
        ("pay", "Pay", 17),
        ("unknown", "x" * 16_384, 21),
        ("cart", "GetCart 1", 0),
        ("host/h", "o", 0),
    ]
    assert [len(each.bodies) for each in rows] == [2, 1, 1, 1, 1]


def test_documents_are_of_one_origin_though_they_say_more_than_it_needs() -> None:
    found: list[Fields] = [
        {"service.name": ["cart"], "service.node.name": ["cart-0"], "container.id": ["c"]},
        {"service.name": ["pay"]},
        {"service.name": ["cart"], "service.node.name": ["cart-0"], "container.id": ["c"], "hostname": [""]},
        {"service.name": ["cart"], "service.instance.id": ["cart-0"], "container.id": ["c"]},
    ]
    places = {origin.service: at.tolist() for origin, at in by_origin(Documents(found))}
    assert places == {"cart": [0, 2, 3], "pay": [1]}


def test_no_documents_have_no_rows() -> None:
    assert list(log_rows([], digests([]))) == []


def test_copies_of_a_line_of_a_file_have_one_id_and_other_lines_keep_theirs() -> None:
    line: Fields = {"@timestamp": [INSTANT.format(0)], "message": ["m"], "service.name": ["cart"]}
    place: Fields = {"log.file.path": ["/var/log/a"], "log.offset": [7], "host.name": ["h"]}
    ids = np.array([1, 2, 3, 4], np.uint64)
    (rows,) = log_rows(
        [
            {**line, **place},
            {**line, **place},
            {**line, "host.name": ["h"]},
            {**line, **place, "log.offset": [8]},
        ],
        ids,
    )
    first, again, without_place, further = rows.line_id.tolist()
    assert first == again
    assert without_place == 3
    assert further not in (first, 4)


@pytest.mark.parametrize("keys", [["a", "b", "a"], ["\ud800"]])
def test_a_name_has_one_number_which_is_never_0(keys: list[str]) -> None:
    found = digests(keys).tolist()
    assert len(set(found)) == len(set(keys))
    assert all(found)
