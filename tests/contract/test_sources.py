"""Every source that is shipped keeps the promises of `microservo.sources.source`."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import numpy as np
import pytest
from otlp_requests import line, logs

from microservo.adapters.clock import now_us
from microservo.domain.rows import MetricRows, coded
from microservo.sources.host.sampler import host_source
from microservo.sources.otlp.source import OtlpSource
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

    def pages(self, cursor: str) -> Iterator[Page]:
        rows = MetricRows(
            service="shop", instance="a", time_us=np.array([now_us()]), name=coded(["x"]), value=np.ones(1)
        )
        yield Page(signal="metrics", rows=(rows,), place=Place(str(int(cursor or "0") + 1)))

    def close(self) -> None:
        pass


def tailed() -> SourceUnderTest:
    source = TailedSource("store", EndlessTail(), MemoryCursors(), interval_s=0.05, delay_us=1_000_000)
    return SourceUnderTest(source=source)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("make_source", [otlp, host, tailed], ids=["otlp", "host", "tailed"])
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
