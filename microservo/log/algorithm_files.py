"""Files of algorithms on the log, in parts: code, and windows to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from microservo.adapters.broker import Broker
from microservo.errors import InvalidInput, InvalidMessage
from microservo.log.publisher import Publisher
from microservo.log.reader import read_state
from schemas.records import AlgorithmFile

PART_BYTES = 512 * 1024
MOST_BYTES = 64 * 1024 * 1024
"""Of one file: it is read as a whole."""


def publish_file(publisher: Publisher, content: bytes) -> str:
    """Queues a file and returns its SHA-256; durable once the publisher is flushed.

    Raises:
        InvalidInput: it is too large.
    """
    if len(content) > MOST_BYTES:
        msg = f"a file of {len(content)} bytes; at most {MOST_BYTES} can be deployed"
        raise InvalidInput(msg)
    sha256 = hashlib.sha256(content).hexdigest()
    for part in _parts(sha256, content):
        publisher.publish(part)
    return sha256


def delete_file(publisher: Publisher, broker: Broker, topic: str, sha256: str) -> None:
    """Queues the end of a file; `topic` is the physical name of `algorithm-files`."""
    for key, part in read_state(broker, topic, AlgorithmFile).items():
        if part.sha256 == sha256:
            publisher.delete(AlgorithmFile, key)


def read_file(broker: Broker, topic: str, sha256: str) -> bytes:
    """The file with this SHA-256; `topic` is the physical name of `algorithm-files`.

    Raises:
        InvalidMessage: it is not there, not whole, or not what its SHA-256 says.
        Retryable: the broker stopped giving messages.
    """
    state = read_state(broker, topic, AlgorithmFile).values()
    parts = sorted((part for part in state if part.sha256 == sha256), key=lambda part: part.part)
    expected = parts[0].parts if parts else 1
    if [part.part for part in parts] != list(range(expected)):
        msg = f"file {sha256} has {len(parts)} of {expected} parts on {topic}; deploy it again"
        raise InvalidMessage(msg)
    content = b"".join(part.content for part in parts)
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        msg = f"file {sha256} on {topic} has the SHA-256 {found}; deploy it again"
        raise InvalidMessage(msg)
    return content


def _parts(sha256: str, content: bytes) -> Iterator[AlgorithmFile]:
    pieces = [content[begin : begin + PART_BYTES] for begin in range(0, len(content), PART_BYTES)] or [b""]
    for number, piece in enumerate(pieces):
        yield AlgorithmFile(
            part_id=f"{sha256}/{number}", sha256=sha256, part=number, parts=len(pieces), content=piece
        )
