from __future__ import annotations

import json
import logging

from microservo.runtime.logging import JsonFormatter


def test_a_line_is_one_json_object_with_the_extra_fields() -> None:
    record = logging.getLogger("services.x").makeRecord(
        "services.x", logging.INFO, __file__, 1, "took %d\nmessages", (3,), None, extra={"topic": "t"}
    )
    text = JsonFormatter("x").format(record)
    line = json.loads(text)
    assert "\n" not in text
    assert (line["service"], line["level"], line["logger"]) == ("x", "INFO", "services.x")
    assert (line["message"], line["topic"]) == ("took 3\nmessages", "t")
    assert line["ts"].endswith("+00:00")


def test_an_exception_keeps_its_traceback() -> None:
    try:
        _fail()
    except ValueError as error:
        exc_info = (type(error), error, error.__traceback__)
    record = logging.makeLogRecord({"msg": "failed", "exc_info": exc_info})
    assert "ValueError: boom" in json.loads(JsonFormatter("x").format(record))["exception"]


def _fail() -> None:
    msg = "boom"
    raise ValueError(msg)
