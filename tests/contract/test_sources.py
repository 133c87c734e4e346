"""Every source that is shipped keeps the promises of `microservo.sources.source`."""

from __future__ import annotations

import http.client
from collections.abc import Generator

import cramjam
import numpy as np
import pytest
from otlp_requests import line, logs
from remote_write_requests import write_request_1

from microservo.adapters.clock import now_us
from microservo.domain.rows import MetricRows, coded
from microservo.sources.host.sampler import host_source
from microservo.sources.otlp.source import OtlpSource
from microservo.sources.remote_write.settings import RemoteWriteSettings
from microservo.sources.remote_write.source import RemoteWriteSource
from microservo.sources.source import Parcel, Sink
from microservo.sources.tailed import MemoryCursors, Page, Place, TailedSource
from microservo.testing.checks import Check
from microservo.testing.sources import CHECKS, MakeSource, SourceUnderTest, check_source


def otlp(source: OtlpSource | None = None) -> SourceUnderTest:
    pushed = source or OtlpSource(0, 0)
    body = logs([line(now_us())]).SerializeToString()

    def push() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", pushed.port, timeout=60)
        try:
            connection.request("POST", "/v1/logs", body, {"Content-Type": "application/x-protobuf"})
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()

    return SourceUnderTest(source=pushed, push=push)


def host() -> SourceUnderTest:
    return SourceUnderTest(source=host_source(None, now_us, interval_s=0.05))


class EndlessTail:
    """A store in which there is always something more."""

    def pages(self, cursor: str) -> Generator[Page, None, None]:
        rows = MetricRows(
            service="shop", instance="a", time_us=np.array([now_us()]), name=coded(["x"]), value=np.ones(1)
        )
        yield Page(signal="metrics", rows=(rows,), place=Place(str(int(cursor or "0") + 1)))

    def close(self) -> None:
        pass


def tailed() -> SourceUnderTest:
    source = TailedSource("store", EndlessTail(), MemoryCursors(), interval_s=0.05, delay_us=1_000_000)
    return SourceUnderTest(source=source)


def remote_write() -> SourceUnderTest:
    pushed = RemoteWriteSource(RemoteWriteSettings(port=0))
    labels = {"__name__": "up", "job": "shop"}

    def push() -> bool:
        body = cramjam.snappy.compress_raw(write_request_1(labels, [(now_us() // 1000, 1.0)]))
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        connection = http.client.HTTPConnection("127.0.0.1", pushed.port, timeout=60)
        try:
            connection.request("POST", "/api/v1/write", bytes(body), headers)
            return connection.getresponse().status == http.client.NO_CONTENT
        finally:
            connection.close()

    return SourceUnderTest(source=pushed, push=push)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    "make_source",
    [otlp, host, tailed, remote_write],
    ids=["otlp", "host", "tailed", "remote_write"],
)
def test_a_source_keeps_the_promises_of_sources(check: Check, make_source: MakeSource) -> None:
    check(make_source)


class Hasty(OtlpSource):
    """Says that all is well before it is."""

    def start(self, sink: Sink) -> None:
        super().start(EarlySink(sink))


class EarlySink:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    @property
    def is_full(self) -> bool:
        return self._sink.is_full

    def put(self, parcel: Parcel) -> None:
        self._sink.put(parcel)
        parcel.durable()


def test_a_source_that_acknowledges_too_early_is_found_out() -> None:
    with pytest.raises(ExceptionGroup, match="1 of 6 checks failed") as found:
        check_source(lambda: otlp(Hasty(0, 0)))
    assert "must wait until its parcel is durable" in str(found.value.exceptions[0])
