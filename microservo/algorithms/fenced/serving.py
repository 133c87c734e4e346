"""The loop: a frame in, the plug-in called, a frame out, until standard input ends."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import metadata
from typing import Any, BinaryIO

from . import memory
from .cases import Case
from .classifiers import Classifier
from .detectors import Detectors
from .frames import FLOAT_BYTES, encode, float_bytes, floats, read
from .inputs import Names
from .objects import Refused, add_code
from .rankers import Ranker

_TASKS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "detector": Detectors,
    "ranker": Ranker,
    "classifier": Classifier,
}
_TRACEBACK_CHARS = 4000

Answer = tuple[dict[str, Any], bytes]


class Server:
    """Answers one request after another. What the plug-in raises is an answer, too."""

    def __init__(self) -> None:
        self._algorithm: Any = None
        self._layouts: dict[int, Names] = {}
        self._operations: Mapping[str, Callable[[Mapping[str, Any], bytes], Answer]] = {
            "open": self._open,
            "score": self._score,
            "learn": self._learn,
            "rank": self._rank,
            "add": self._add,
            "fit": self._fit,
            "classify": self._classify,
            "snapshot": self._snapshot,
            "restore": self._restore,
        }

    def answer(self, header: Mapping[str, Any], body: bytes) -> bytes:
        """The frame that answers a request."""
        began_s = time.process_time()
        try:
            found, out = self._operations[header["op"]](header, body)
        except Refused as error:
            found, out = {"refused": str(error)}, b""
        except Exception as error:  # the plug-in's, whatever it is: the host says what follows
            text = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARS:]
            found, out = {"raised": f"{type(error).__name__}: {error}"[:500], "traceback": text}, b""
        found["cpu_us"] = round((time.process_time() - began_s) * 1e6)
        return encode(found, out)

    def _open(self, header: Mapping[str, Any], body: bytes) -> Answer:
        del body
        for path in header["code"]:
            add_code(path)
        declaration = header["declaration"]
        self._algorithm = _TASKS[declaration["task"]](declaration)
        versions = {name: _version(name) for name in header["packages"]}
        return {
            "python": platform.python_version(),
            "versions": {name: version for name, version in versions.items() if version},
            "style": self._algorithm.style,
            "sign": self._algorithm.sign,
        }, b""

    def _score(self, header: Mapping[str, Any], body: bytes) -> Answer:
        names, rows = self._windows(header, body)
        watch = self._algorithm.watch(header["service"])
        score = watch.score if header.get("learns", True) else watch.score_only
        scores = [score(names, row) for row in rows]
        return {"counts": asdict(watch.counts)}, float_bytes(scores)

    def _learn(self, header: Mapping[str, Any], body: bytes) -> Answer:
        names, rows = self._windows(header, body)
        watch = self._algorithm.watch(header["service"])
        for row in rows:
            watch.learn(names, row)
        return {"counts": asdict(watch.counts)}, b""

    def _windows(self, header: Mapping[str, Any], body: bytes) -> tuple[Names, list[list[float]]]:
        """The features' names and the rows. Names come once under a number, and not again."""
        number = header["layout"]
        if "names" in header:
            if number == 0:
                self._layouts.clear()
            self._layouts[number] = tuple(header["names"])
        names = self._layouts[number]
        width, values = len(names), floats(body)
        if not width:
            return names, [[] for _ in range(header["windows"])]
        return names, [values[begin : begin + width] for begin in range(0, len(body) // FLOAT_BYTES, width)]

    def _rank(self, header: Mapping[str, Any], body: bytes) -> Answer:
        case = Case.decode(header, body)
        ranks = self._algorithm.rank(case)
        return {"ranks": ranks[: header["at_most"]], "counts": asdict(case.counts)}, b""

    def _add(self, header: Mapping[str, Any], body: bytes) -> Answer:
        self._algorithm.add(Case.decode(header, body), header["kind"])
        return {}, b""

    def _fit(self, header: Mapping[str, Any], body: bytes) -> Answer:
        del header, body
        self._algorithm.fit()
        return {}, b""

    def _classify(self, header: Mapping[str, Any], body: bytes) -> Answer:
        case = Case.decode(header, body)
        probabilities = self._algorithm.classify(case)
        return {"kinds": list(probabilities)}, float_bytes(list(probabilities.values()))

    def _snapshot(self, header: Mapping[str, Any], body: bytes) -> Answer:
        del header, body
        return {}, memory.dumps(self._algorithm.snapshot())

    def _restore(self, header: Mapping[str, Any], body: bytes) -> Answer:
        del header
        self._algorithm.restore(memory.loads(body))
        return {}, b""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers all requests of a stream."""
    server = Server()
    while (frame := read(requests)) is not None:
        answers.write(server.answer(*frame))
        answers.flush()


def main() -> int:
    """Serves standard input. What the plug-in prints must not get between the frames: it goes to the log."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    serve(requests, answers)
    return 0
