"""What is declared of an algorithm: values, checked one by one, with the way out in each refusal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from microservo.errors import InvalidInput

Task = Literal["detector", "ranker", "classifier"]
Signal = Literal["metrics", "logs", "traces"]
Per = Literal["service", "feature", "system"]
Features = Literal["complete", "raw"]
Kind = Literal["service", "host", "load_generator"]

SIGNALS: tuple[Signal, ...] = get_args(Signal)
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PYTHON = re.compile(r"3\.(11|12|13)")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SELDOM_DEADLINE_S = 10.0
_BATCH = ("warm_up", "refit", "buffer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A transformer before the algorithm, of the same library.

    Attributes:
        object: `module:class`.
        params: its keyword arguments.
    """

    object: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What runs, on what, and what it may use.

    Attributes:
        object: `module:name` of a class, an object or a function.
        task: what it does.
        params: keyword arguments of the class or function. A seed need not be among them.
        pre: transformers before it, in order.
        signals: what it is given; nothing else is delivered.
        only: patterns (`fnmatch`) of the features it is given; all of its signals' where empty.
        per: what one object watches.
        features: `complete` rows of settled features, or `raw`: as the window came.
        kinds: what it watches: services, hosts, load generators.
        sign: 1 where its own higher scores are more anomalous, -1 where lower ones are; 0 is what its
            library says.
        batch: of what is fitted on tables: `warm_up`, `refit` and `buffer`, in windows.
        requires: requirements of its environment, as pip takes them.
        python: version of its environment, as `3.12`; the platform's own where empty.
        cpus: processors that it may use.
        memory_bytes: what it may hold.
        disk_bytes: what it may write.
        deadline_s: wall time that one answer may take. What ranks or classifies is asked seldom: where a
            document says nothing, it may take ten times as long.
        seed: what all its random numbers come from; each service gets one of its own from it.
        threshold: its scores above are alarms; found in fault-free time where None.
        control: it knows nothing on purpose, so it need not tell an anomaly from a normal window.
        title: a name for people.
        what_it_is: in a sentence.
        when_it_fails: in a sentence.
    """

    object: str
    task: Task = "detector"
    params: Mapping[str, Any] = field(default_factory=dict)
    pre: tuple[Step, ...] = ()
    signals: tuple[Signal, ...] = SIGNALS
    only: tuple[str, ...] = ()
    per: Per = "service"
    features: Features = "complete"
    kinds: tuple[Kind, ...] = ("service",)
    sign: int = 0
    batch: Mapping[str, int] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    python: str = ""
    cpus: float = 1.0
    memory_bytes: int = 512 << 20
    disk_bytes: int = 64 << 20
    deadline_s: float = 1.0
    seed: int = 0
    threshold: float | None = None
    control: bool = False
    title: str = ""
    what_it_is: str = ""
    when_it_fails: str = ""

    def __post_init__(self) -> None:
        for reference in (self.object, *(step.object for step in self.pre)):
            if not _REFERENCE.fullmatch(reference):
                msg = f"object {reference!r}; expected module:name, e.g. river.anomaly:HalfSpaceTrees"
                raise InvalidInput(msg)
        for name, allowed in _WORDS.items():
            _check_words(name, getattr(self, name), allowed)
        if not all(self.only):
            msg = "only ''; expected patterns of features, as request/[*]/p90_ms"
            raise InvalidInput(msg)
        if self.python and not _PYTHON.fullmatch(self.python):
            msg = f"python {self.python!r}; expected 3.11, 3.12 or 3.13, or leave it out"
            raise InvalidInput(msg)
        for name in ("cpus", "memory_bytes", "disk_bytes", "deadline_s"):
            value = getattr(self, name)
            if not value > 0 or math.isinf(value):
                msg = f"{name.rpartition('_')[0] or name} {value}; expected a number above 0"
                raise InvalidInput(msg)
        if not 0 <= self.seed < 1 << 63:
            msg = f"seed {self.seed}; expected a whole number from 0 to 2^63 - 1"
            raise InvalidInput(msg)
        if self.sign not in (-1, 0, 1):
            msg = f"sign {self.sign}; expected 1, -1, or 0 for what its library says"
            raise InvalidInput(msg)
        if set(self.batch) - set(_BATCH):
            msg = f"batch {dict(self.batch)}; expected some of {', '.join(_BATCH)}"
            raise InvalidInput(msg)
        if any(type(windows) is not int or windows < 1 for windows in self.batch.values()):
            msg = f"batch {dict(self.batch)}; expected whole numbers of windows, above 0"
            raise InvalidInput(msg)
        if self.threshold is not None and not math.isfinite(self.threshold):
            msg = f"threshold {self.threshold}; expected a finite score, or leave it out to have it found"
            raise InvalidInput(msg)

    def document(self) -> dict[str, Any]:
        """The same as `declaration_of` takes it."""
        named = {field: key for key, field in _RENAMED.items()}
        values = {named.get(each.name, each.name): getattr(self, each.name) for each in fields(self)}
        values["pre"] = [{"object": step.object, "params": dict(step.params)} for step in self.pre]
        return {key: _plain(value) for key, value in values.items() if value is not None}

    def for_fence(self) -> dict[str, Any]:
        """What the fenced side is told, as JSON values."""
        return {
            "object": self.object,
            "task": self.task,
            "params": dict(self.params),
            "pre": [{"object": step.object, "params": dict(step.params)} for step in self.pre],
            "per": self.per,
            "features": self.features,
            "sign": self.sign,
            "batch": dict(self.batch),
            "seed": self.seed,
        }


_WORDS: Mapping[str, tuple[str, ...]] = {
    "task": get_args(Task),
    "signals": get_args(Signal),
    "per": get_args(Per),
    "features": get_args(Features),
    "kinds": get_args(Kind),
}


def _check_words(name: str, value: str | tuple[str, ...], allowed: tuple[str, ...]) -> None:
    for word in (value,) if isinstance(value, str) else value or ("",):
        if word not in allowed:
            count = "one" if isinstance(value, str) else "some"
            msg = f"{name} {word!r}; expected {count} of {', '.join(allowed)}"
            raise InvalidInput(msg)


def parse_bytes(text: str | int) -> int:
    """A size: a number of bytes, or one with K, M, G or T (powers of 1024).

    Raises:
        InvalidInput: it is something else.

    Example:
        >>> parse_bytes("512M") == 512 * 1024 * 1024
        True
    """
    found = _BYTES.fullmatch(str(text).strip())
    if found is None:
        msg = f"size {text!r}; expected a number of bytes, or one as 512M or 2G"
        raise InvalidInput(msg)
    return round(float(found[1]) * _UNITS[found[2].upper()])


_RENAMED = {"memory": "memory_bytes", "disk": "disk_bytes", "deadline": "deadline_s"}
"""How a person writes a field, and how it is called here."""
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (str,),
    "task": (str,),
    "params": (dict,),
    "pre": (list,),
    "signals": (list,),
    "only": (list,),
    "per": (str,),
    "features": (str,),
    "kinds": (list,),
    "sign": (int,),
    "batch": (dict,),
    "requires": (list,),
    "python": (str,),
    "cpus": (int, float),
    "memory": (str, int),
    "disk": (str, int),
    "deadline": (int, float),
    "seed": (int,),
    "threshold": (int, float),
    "control": (bool,),
    "title": (str,),
    "what_it_is": (str,),
    "when_it_fails": (str,),
}


def declaration_of(document: Mapping[str, Any]) -> Declaration:
    """The declaration that a document (of TOML, or of options) is.

    Raises:
        InvalidInput: it has a key that is none, lacks `object`, or holds a value that can't be.
    """
    unknown = sorted(set(document) - set(_TYPES))
    if unknown:
        msg = f"unknown key {unknown[0]!r} in a declaration; expected some of {', '.join(_TYPES)}"
        raise InvalidInput(msg)
    if "object" not in document:
        msg = "a declaration without `object`; say which one it is, as object = 'module:name'"
        raise InvalidInput(msg)
    values: dict[str, Any] = {}
    if document.get("task", "detector") != "detector":
        values["deadline_s"] = _SELDOM_DEADLINE_S
    for key, value in document.items():
        values[_RENAMED.get(key, key)] = _typed(key, value)
    return Declaration(**values)


def _typed(key: str, value: Any) -> Any:
    types = _TYPES[key]
    if type(value) not in types:
        msg = f"{key} = {value!r} in a declaration; expected {' or '.join(_NAMES[each] for each in types)}"
        raise InvalidInput(msg)
    if key == "pre":
        return tuple(_step(each) for each in value)
    if list in types:
        if not all(isinstance(each, str) for each in value):
            msg = f"{key} = {value!r} in a declaration; expected a list of texts"
            raise InvalidInput(msg)
        return tuple(value)
    return parse_bytes(value) if key in ("memory", "disk") else value


def _step(value: Any) -> Step:
    if isinstance(value, str):
        return Step(object=value)
    if isinstance(value, dict) and {"object"} <= set(value) <= {"object", "params"}:
        return Step(**value)
    msg = f"pre has {value!r}; expected 'module:name', or a table with object and params"
    raise InvalidInput(msg)


def _plain(value: Any) -> Any:
    """A value as TOML and JSON have it."""
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
assert {_RENAMED.get(key, key) for key in _TYPES} == {each.name for each in fields(Declaration)}
