import ast
import io
import math
import sys
from pathlib import Path

import pytest

from microservo.algorithms.fenced import frames
from microservo.algorithms.unfenced import FENCED


def test_a_frame_comes_back_as_it_was() -> None:
    body = frames.float_bytes([1.5, -math.inf, 1e-300])
    stream = io.BytesIO(frames.encode({"op": "score", "name": "ä"}, body) * 2)
    for _ in range(2):
        frame = frames.read(stream)
        assert frame == ({"op": "score", "name": "ä"}, body)
    assert frames.read(stream) is None
    assert frames.floats(body) == [1.5, -math.inf, 1e-300]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n", "began with b'HTTP'"),
        (frames.encode({}, b"12345678")[:-1], "ended within a frame"),
        (frames.encode({})[:7], "ended within the prefix"),
        (frames.PREFIX.pack(frames.MAGIC, 2**32 - 1, 0), "header of 4294967295"),
        (frames.PREFIX.pack(frames.MAGIC, 0, 2**32 - 1), "body of 4294967295"),
        (frames.PREFIX.pack(frames.MAGIC, 2, 0) + b"[]", "a header that is a list"),
        (frames.PREFIX.pack(frames.MAGIC, 2, 0) + b"{x", "not JSON"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(frames.BrokenFrame, match=words):
        frames.read(io.BytesIO(data), max_body_bytes=100)


def test_the_fenced_side_imports_the_standard_library_and_itself_only() -> None:
    """It is mounted alone into environments that have nothing else."""
    for path in FENCED.glob("*.py"):
        assert not _foreign_imports(path), path


def _foreign_imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level != 1:
            found.append(f"{'.' * node.level}{node.module}")
    return [name for name in found if name.partition(".")[0] not in sys.stdlib_module_names]
