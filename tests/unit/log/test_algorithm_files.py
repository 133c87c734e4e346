from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from microservo.adapters.broker import TopicSpec
from microservo.errors import InvalidInput, InvalidMessage
from microservo.log.algorithm_files import MOST_BYTES, PART_BYTES, delete_file, publish_file, read_file
from microservo.log.publisher import Publisher
from microservo.testing import ManualClock, MemoryBroker
from schemas.catalogue import ALGORITHM_FILES, catalogue

NOON_US = 1_800_000_000_000_000


class Files:
    """The topic of files on a broker in memory."""

    def __init__(self) -> None:
        clock = ManualClock(NOON_US)
        self.broker = MemoryBroker(clock)
        config = dict(catalogue()[ALGORITHM_FILES].config)
        self.broker.admin().ensure_topics([TopicSpec(name=ALGORITHM_FILES, partitions=1, config=config)])
        self.producer = self.broker.producer()
        self.publisher = Publisher(self.producer, "client", prefix="", clock=clock)

    def read(self, sha256: str) -> bytes:
        return read_file(self.broker, ALGORITHM_FILES, sha256)


@pytest.fixture
def files() -> Iterator[Files]:
    made = Files()
    with made.producer:
        yield made


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
def test_a_file_comes_back_as_it_was(files: Files, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    sha256 = publish_file(files.publisher, content)
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert files.read(sha256) == content


def test_files_of_several_algorithms_are_kept_apart(files: Files) -> None:
    first, second = (publish_file(files.publisher, content) for content in (b"first", b"second"))
    assert (files.read(first), files.read(second)) == (b"first", b"second")


def test_a_file_that_is_not_there_is_told_with_the_way_out(files: Files) -> None:
    with pytest.raises(InvalidMessage, match=r"has 0 of 1 parts .* deploy it again"):
        files.read("ab" * 32)


def test_a_file_that_was_deleted_is_gone_and_others_stay(files: Files) -> None:
    first, second = (publish_file(files.publisher, content) for content in (b"first", b"second"))
    delete_file(files.publisher, files.broker, ALGORITHM_FILES, first)
    with pytest.raises(InvalidMessage):
        files.read(first)
    assert files.read(second) == b"second"


def test_a_file_that_is_too_large_is_refused_before_anything_is_sent(files: Files) -> None:
    with pytest.raises(InvalidInput, match=f"at most {MOST_BYTES}"):
        publish_file(files.publisher, bytes(MOST_BYTES + 1))
