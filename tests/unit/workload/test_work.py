from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from microservo.adapters.opentelemetry_sdk import prometheus_text
from microservo.errors import InvalidInput
from microservo.platforms.local.peers import Replica, read_peers
from services.workload.traffic import Traffic
from services.workload.work import burn, is_record_of, record_of, render


def test_burning_spends_processor_time_of_this_thread() -> None:
    before_s = time.thread_time()
    burn(0.02)
    assert time.thread_time() - before_s >= 0.02


def test_an_answer_is_json_with_its_payload() -> None:
    answer = json.loads(render(record_of("Get", "user-1", 50)))
    assert (answer["endpoint"], answer["key"], len(answer["payload"])) == ("Get", "user-1", 50)


def test_what_is_attached_to_an_answer_is_read_with_it() -> None:
    answer = render(record_of("Get", "user-1", 5), [b'[{"id":0}]', b"[]"])
    assert json.loads(answer)["attached"] == [[{"id": 0}], []]
    assert is_record_of(answer, "Get")
    assert not is_record_of(answer, "Put")
    assert not is_record_of(answer[:-1], "Get"), "it is not whole"
    assert is_record_of(b"refused", "Get"), "it is a record of nothing"


def test_a_record_without_its_payload_raises_in_the_service_s_own_code() -> None:
    record = record_of("Get", "user-1", 50)
    del record["payload"]
    with pytest.raises(KeyError, match="payload"):
        render(record)


def test_the_mean_duration_is_of_the_requests_since_it_was_asked() -> None:
    traffic = Traffic()
    assert traffic.mean_ms() is None
    for duration_s, failed in ((0.1, False), (0.3, True)):
        traffic.begin()
        traffic.end(duration_s, failed=failed)
    assert traffic.mean_ms() == pytest.approx(200.0)
    assert traffic.mean_ms() is None
    assert (traffic.requests, traffic.errors, traffic.active) == (2, 1, 0)


def test_the_metrics_page_is_prometheus_text() -> None:
    values = {"http.server.request.count": 3, "cache.hit_ratio": None}
    assert prometheus_text(values) == "http_server_request_count 3\n"


def test_a_peers_file_that_is_no_object_of_lists_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text("[1]")
    with pytest.raises(InvalidInput, match="is unusable"):
        read_peers(path)
    path.write_text('{"back": ["http://127.0.0.1:1/"]}')
    assert read_peers(path) == {"back": [Replica("http://127.0.0.1:1")]}
