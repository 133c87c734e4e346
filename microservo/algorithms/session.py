"""The host's end of the pipe: what is asked of a fenced process, and what of its answers is believed.

The process at the other end runs code of anybody. It gets what its declaration names, and nothing else. An
answer counts only if it came in time, is a frame, and has the right type, length and range; whatever else it
is raises an error that says so, and is never used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microservo.algorithms.declaration import Declaration
from microservo.algorithms.delivery import Delivery
from microservo.algorithms.fenced import frames
from microservo.algorithms.pipe import Pipe
from microservo.errors import AlgorithmFailed, AlgorithmRefused, BadAnswer, InvalidInput

Float64 = NDArray[np.float64]

_LAYOUTS = 256
_MAX_RANKS = 10_000
_MAX_KINDS = 1000
_TEXT_CHARS = 500
_DETAILS_CHARS = 8000
_LARGEST_NUMBER = 1 << 53
START_DEADLINE_S = 60.0
"""Importing a large library from a cold disk takes its time."""
MAX_SNAPSHOT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was done to features before the algorithm got them, since it started.

    Attributes:
        undefined: values that were NaN or infinite, and replaced by the newest before.
        missing: values that did not come, replaced likewise.
        new: values of features that came after the order was settled; left out.
        constant: features that the newest fit left out, for they never moved.
    """

    undefined: int = 0
    missing: int = 0
    new: int = 0
    constant: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a process says of itself and of its plug-in: what people are shown, and nothing is built on."""

    python: str
    versions: Mapping[str, str]
    style: str
    sign: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What came back for some windows of a service.

    Attributes:
        scores: shape (windows,); higher is more anomalous, NaN is not ready.
        counts: of this service, since its first window.
        cpu_us: processor time that the answer took, as the process says.
    """

    scores: Float64
    counts: Counts
    cpu_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What may be the cause of an alarm.

    Attributes:
        services: most likely first, each once.
        causes: as the ranker said: columns or services.
        counts: what was done to the case before.
        cpu_us: processor time, as the process says.
    """

    services: tuple[str, ...]
    causes: tuple[str, ...]
    counts: Counts
    cpu_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The telemetry of all services up to an alarm.

    Attributes:
        alarm_us: start of the first window that the alarm is about; never a label's time.
        start_us: starts of the windows, shape (windows,), growing; some before the alarm, some not.
        features: service to names of its features, and values of shape (windows, features), NaN where
            undefined.
        graph: pairs of caller and callee.
    """

    alarm_us: int
    start_us: NDArray[np.int64]
    features: Mapping[str, tuple[Sequence[str], Float64]]
    graph: Sequence[tuple[str, str]] = field(default=())

    def __post_init__(self) -> None:
        if not len(self.start_us) or not self.start_us[0] < self.alarm_us <= self.start_us[-1]:
            msg = (
                f"a case with an alarm at {self.alarm_us} and {len(self.start_us)} windows; "
                "expected windows before it, and one at it or after"
            )
            raise InvalidInput(msg)
        for service, (names, values) in self.features.items():
            if values.shape != (len(self.start_us), len(names)):
                msg = (
                    f"{service}: features of shape {values.shape}; expected {len(self.start_us), len(names)}"
                )
                raise InvalidInput(msg)

    def frame(self, delivery: Delivery) -> tuple[dict[str, Any], bytes]:
        """Header and body, column by column, of what is delivered."""
        delivered = {service: delivery(*found) for service, found in self.features.items()}
        columns = [np.ascontiguousarray(values.T, "<f8") for _, values in delivered.values()]
        times_s = self.start_us.astype("<f8") / 1e6
        header = {
            "alarm_s": self.alarm_us / 1e6,
            "windows": len(self.start_us),
            "services": [[service, list(names)] for service, (names, _) in delivered.items()],
            "graph": [list(edge) for edge in self.graph],
        }
        return header, b"".join([times_s.tobytes(), *(each.tobytes() for each in columns)])


class Session:
    """One algorithm in one process, asked one thing at a time.

    After `AlgorithmFailed` itself or `AlgorithmRefused` it can be asked on; after another one of its kinds
    the process must be killed, which is the caller's business.

    Args:
        pipe: to the process.
        declaration: of what runs in it.
        code: where the process finds the plug-in's code: modules, packages, folders or archives.
    """

    def __init__(self, pipe: Pipe, declaration: Declaration, code: Sequence[str] = ()) -> None:
        self.declaration = declaration
        self._delivery = Delivery(declaration)
        self._pipe = pipe
        self._code = code
        self._layouts: dict[tuple[str, ...], int] = {}
        self._received = bytearray()

    def attend_by(self, attend: Callable[[], None]) -> None:
        """Has something called before each question and while its answer is awaited, as of `Pipe`."""
        self._pipe.attend = attend

    def open(self, deadline_s: float = START_DEADLINE_S) -> Opened:
        """Loads the plug-in.

        Raises:
            AlgorithmRefused: it can't be run as it is declared.
        """
        packages = sorted({_package(each) for each in self.declaration.requires} | {"numpy"})
        header = {"declaration": self.declaration.for_fence(), "code": list(self._code), "packages": packages}
        answer, _ = self._ask("open", header, within_s=deadline_s)
        versions = _of_type(answer, "versions", dict)
        return Opened(
            python=_text(_of_type(answer, "python", str)),
            versions={_text(key): _text(value) for key, value in versions.items()},
            style=_text(_of_type(answer, "style", str)),
            sign=-1 if _of_type(answer, "sign", int) < 0 else 1,
        )

    def score(self, service: str, names: Sequence[str], rows: Float64, *, learns: bool = True) -> Scores:
        """Scores windows of one service in order, each before it is learned from.

        Args:
            service: what is watched; "" for all of the system.
            names: of the features.
            rows: shape (windows, features); NaN where undefined. The deadline is for each window of them.
            learns: whether they are learned from; if not, nothing of them is to be remembered.

        Raises:
            BadAnswer: a score is infinite, or there are not as many as windows.
        """
        body_bytes = len(rows) * frames.FLOAT_BYTES
        answer, body = self._windows("score", service, names, rows, body_bytes, learns=learns)
        if len(body) != body_bytes:
            msg = f"{len(body) // frames.FLOAT_BYTES} scores for {len(rows)} windows; expected as many"
            raise BadAnswer(msg)
        scores = np.frombuffer(body, "<f8").astype(np.float64)
        # There are many NaN; a replay must give the very same one.
        scores[np.isnan(scores)] = np.nan
        if np.isinf(scores).any():
            msg = (
                f"an infinite score for a window of {service!r}; expected a finite one, or NaN for not ready"
            )
            raise BadAnswer(msg)
        return Scores(scores=scores, counts=_counts(answer), cpu_us=_natural(answer, "cpu_us"))

    def learn(self, service: str, names: Sequence[str], rows: Float64) -> Counts:
        """Learns from windows without scores, as of a run's past; arguments as of `score`."""
        answer, _ = self._windows("learn", service, names, rows, 0)
        return _counts(answer)

    def rank(self, case: Case) -> Ranking:
        """What may have caused an alarm.

        Raises:
            BadAnswer: it ranked what is no service and no column of the case.
        """
        header, body = case.frame(self._delivery)
        answer, _ = self._ask("rank", {**header, "at_most": _MAX_RANKS}, body)
        causes = _of_type(answer, "ranks", list)
        services = []
        by_length = sorted(case.features, key=len, reverse=True)
        for cause in causes:
            service = _service_of(cause, by_length)
            if service not in services:
                services.append(service)
        counts = _counts(answer)
        return Ranking(
            services=tuple(services), causes=tuple(causes), counts=counts, cpu_us=_natural(answer, "cpu_us")
        )

    def train(self, cases: Sequence[tuple[Case, str]], deadline_s: float = START_DEADLINE_S) -> None:
        """Teaches a classifier: cases of other runs, and the kind of failure of each."""
        for case, kind in cases:
            header, body = case.frame(self._delivery)
            self._ask("add", {**header, "kind": kind}, body)
        self._ask("fit", {}, within_s=deadline_s)

    def classify(self, case: Case) -> dict[str, float]:
        """The probability of each kind of failure that was taught.

        Raises:
            BadAnswer: these are no probabilities, or don't sum up to 1.
        """
        header, body = case.frame(self._delivery)
        answer, out = self._ask("classify", header, body, _MAX_KINDS * frames.FLOAT_BYTES)
        kinds, values = _of_type(answer, "kinds", list), frames.floats(out[: len(out) // 8 * 8])
        is_named = all(isinstance(kind, str) and _is_plain(kind) for kind in kinds)
        if (
            not is_named
            or len(set(kinds)) < len(kinds)
            or len(kinds) != len(values)
            or not all(0 <= value <= 1 for value in values)
        ):
            msg = (
                f"probabilities {values[:5]} of kinds {_text(kinds, 80)!r}; expected one from 0 to 1 for each"
            )
            raise BadAnswer(msg)
        if not math.isclose(sum(values), 1, abs_tol=1e-6):
            msg = f"probabilities that sum up to {sum(values)}; expected 1"
            raise BadAnswer(msg)
        return dict(zip(kinds, values, strict=True))

    def snapshot(self, deadline_s: float = START_DEADLINE_S) -> bytes:
        """What was learned, as bytes that only `restore` of the same plug-in reads. Never load them here.

        Raises:
            AlgorithmRefused: it can't be put away; learn again from the log instead.
        """
        return self._ask("snapshot", {}, b"", MAX_SNAPSHOT_BYTES, deadline_s)[1]

    def restore(self, snapshot: bytes, deadline_s: float = START_DEADLINE_S) -> None:
        """Goes on from what was learned.

        Raises:
            AlgorithmRefused: it is of another version; learn again from the log instead.
        """
        self._ask("restore", {}, snapshot, within_s=deadline_s)

    def _windows(
        self,
        op: str,
        service: str,
        names: Sequence[str],
        rows: Float64,
        answer_bytes: int,
        *,
        learns: bool = True,
    ) -> tuple[dict[str, Any], bytes]:
        if rows.ndim != 2 or rows.shape[1] != len(names):
            msg = f"rows of shape {rows.shape} for {len(names)} features; expected (windows, {len(names)})"
            raise InvalidInput(msg)
        key, rows = self._delivery(names, rows)
        header: dict[str, Any] = {"service": service, "windows": len(rows)}
        if not learns:
            header["learns"] = False
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= _LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[key] = len(self._layouts)
            header["names"] = list(key)
        header["layout"] = layout
        body = np.ascontiguousarray(rows, "<f8").tobytes()
        within_s = self.declaration.deadline_s * max(1, len(rows))
        return self._ask(op, header, body, answer_bytes, within_s)

    def _ask(
        self,
        op: str,
        header: Mapping[str, Any],
        body: bytes = b"",
        answer_bytes: int = 0,
        within_s: float | None = None,
    ) -> tuple[dict[str, Any], bytes]:
        if self._received:
            msg = f"{len(self._received)} bytes that nobody asked for; expected answers to questions alone"
            raise BadAnswer(msg)
        self._pipe.attend()
        deadline_s = self._pipe.now_s() + (self.declaration.deadline_s if within_s is None else within_s)
        self._pipe.send(frames.encode({"op": op, **header}, body), deadline_s)
        try:
            lengths = frames.lengths(self._take(frames.PREFIX.size, deadline_s), answer_bytes)
            answer = frames.decode_header(self._take(lengths[0], deadline_s))
        except frames.BrokenFrame as error:
            msg = f"{error}; the answer was refused"
            raise BadAnswer(msg) from error
        out = self._take(lengths[1], deadline_s)
        if "refused" in answer:
            raise AlgorithmRefused(_text(answer["refused"]))
        if "raised" in answer:
            msg = f"the algorithm raised {_text(answer['raised'])}"
            raise AlgorithmFailed(msg, _text(answer.get("traceback", ""), _DETAILS_CHARS))
        return answer, out

    def _take(self, size: int, deadline_s: float) -> bytes:
        while len(self._received) < size:
            self._received += self._pipe.receive(deadline_s)
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken


def _package(requirement: str) -> str:
    """The name in a requirement, as `river` of `river==0.26.1`."""
    name = requirement.partition(";")[0].partition("@")[0]
    for mark in "=<>!~[ ":
        name = name.partition(mark)[0]
    return name.strip()


def _service_of(cause: Any, by_length: Sequence[str]) -> str:
    """The service that a column or service is of, that with the longest name where several would do."""
    if isinstance(cause, str) and _is_plain(cause):
        for service in by_length:
            if cause == service or cause.startswith(f"{service}_"):
                return service
    msg = f"it ranked {_text(cause, 80)!r}; expected services or columns <service>_<feature> of the case"
    raise BadAnswer(msg)


def _of_type(answer: Mapping[str, Any], key: str, kind: type) -> Any:
    value = answer.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        msg = f"an answer with {key} {_text(value, 80)!r}; expected a {kind.__name__}"
        raise BadAnswer(msg)
    return value


def _natural(answer: Mapping[str, Any], key: str) -> int:
    value = int(_of_type(answer, key, int))
    if not 0 <= value < _LARGEST_NUMBER:
        msg = f"an answer with a {key} that is negative or too large; expected a count"
        raise BadAnswer(msg)
    return value


def _counts(answer: Mapping[str, Any]) -> Counts:
    counts = _of_type(answer, "counts", dict)
    return Counts(
        undefined=_natural(counts, "undefined"),
        missing=_natural(counts, "missing"),
        new=_natural(counts, "new"),
        constant=_natural(counts, "constant"),
    )


def _is_plain(text: str) -> bool:
    """Whether a text can be a name: not a control character or half a code point in it."""
    return len(text) <= _TEXT_CHARS and text.isprintable()


def _text(value: object, chars: int = _TEXT_CHARS) -> str:
    """What a process says, as text that can be encoded, its end where it is long."""
    return str(value)[-chars:].encode("utf-8", "replace").decode()
