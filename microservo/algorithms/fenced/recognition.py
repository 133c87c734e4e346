"""How an object wants to be called, and which way its scores point.

Libraries disagree: with scikit-learn lower is more anomalous, with all others higher. What an object *is*
does not tell (PyOD's pass for outlier detectors of scikit-learn, a pipeline does not); the module that its
final step is defined in does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .adapters import Batch, OneByOne, Partial, Scorer, Stateless, step_methods
from .objects import Refused

_HIGHER_IS_WORSE = ("pyod", "TSB_AD")
_LOWER_IS_WORSE = "sklearn"
BATCH = {"warm_up": 32, "refit": 256, "buffer": 1024}
"""Rows before the first fit, between two fits, and kept; a declaration may say others."""


@dataclass(frozen=True)
class Recognised:
    """What an object was found to be.

    Attributes:
        style: `score_one`, `score_partial`, `fit` or `function`.
        sign: 1 where its own higher scores are more anomalous, -1 where lower ones are.
        scorer: makes the scorer of one service, around objects of its own.
    """

    style: str
    sign: int
    scorer: Callable[[], Scorer]


def as_detector(
    make: Callable[[], Any],
    pre: Sequence[Callable[[], Any]] = (),
    batch: Mapping[str, int] | None = None,
) -> Recognised:
    """What is made, as a detector.

    Args:
        make: a new object, the same each time.
        pre: make the steps before it.
        batch: overrides `BATCH`.

    Raises:
        Refused: it is no detector, one that must be told the truth, or has no use for `batch`.
    """
    found = _recognised(make, pre, batch or {})
    if batch and found.style != "fit":
        msg = f"batch {dict(batch)} for what learns one window at a time; it is for what is fitted on tables"
        raise Refused(msg)
    return found


def _recognised(
    make: Callable[[], Any], pre: Sequence[Callable[[], Any]], batch: Mapping[str, int]
) -> Recognised:
    example, steps = make(), [each() for each in pre]
    if _has(example, "score_one", "learn_one"):
        _check_unsupervised(example)
        step_methods(steps, ("learn_one", "transform_one"), "score_one")
        return Recognised("score_one", 1, partial(OneByOne, make, pre))
    if _has(example, "score_partial", "fit_partial"):
        step_methods(steps, ("fit_partial", "transform_partial"), "score_partial")
        return Recognised("score_partial", 1, partial(Partial, make, pre))
    if _has(example, "fit"):
        score, sign = _batch_score(example)
        step_methods(steps, ("fit", "transform"), "fit")
        sizes = _sizes(batch)
        scorer = partial(Batch, make, pre, score=score, sign=sign, **sizes)
        return Recognised("fit", sign, scorer)
    if callable(example):
        if _must_have_more(example):
            msg = (
                f"{_name(example)} takes more than a window; a function of a window is a detector, one of "
                "`data` and `inject_time` a ranker, which has to be declared: task = 'ranker'"
            )
            raise Refused(msg)
        if steps:
            msg = "steps before a function; let the function do what they do"
            raise Refused(msg)
        return Recognised("function", 1, partial(Stateless, make))
    msg = (
        f"{_what(example)} is no detector; expected `score_one` and `learn_one`, `score_partial` and "
        "`fit_partial`, `fit` and a score, or a function of a window"
    )
    raise Refused(msg)


def _sizes(batch: Mapping[str, int]) -> dict[str, int]:
    sizes = {**BATCH, **batch}
    if set(sizes) != set(BATCH) or min(sizes.values()) < 1 or sizes["buffer"] < sizes["warm_up"]:
        msg = f"batch {dict(batch)}; expected {', '.join(BATCH)} above 0, and buffer not below warm_up"
        raise Refused(msg)
    return sizes


def _has(example: Any, *methods: str) -> bool:
    return all(callable(getattr(example, name, None)) for name in methods)


def _check_unsupervised(example: Any) -> None:
    if getattr(example, "_supervised", False) is True or _must_have_more(example.learn_one):
        msg = (
            f"{_what(example)} learns from a target besides the features, and there is none; "
            "take a detector whose learn_one takes the window alone"
        )
        raise Refused(msg)


def _must_have_more(method: Callable[..., Any]) -> bool:
    try:
        inspect.signature(method).bind({})
    except TypeError:
        return True
    except ValueError:
        return False
    return False


def _batch_score(example: Any) -> tuple[str, int]:
    """The method that scores a table, and its sign."""
    final = _final_step(example)
    modules = {kind.__module__.partition(".")[0] for kind in type(final).__mro__}
    if modules.isdisjoint(_HIGHER_IS_WORSE) and _LOWER_IS_WORSE in modules:
        is_outlier_detector = any(kind.__name__ == "OutlierMixin" for kind in type(final).__mro__)
        if _has(example, "score_samples"):
            return "score_samples", -1
        if is_outlier_detector and _has(example, "decision_function"):
            return "decision_function", -1
        if is_outlier_detector and hasattr(final, "novelty"):
            msg = f"{_what(final)} scores no new windows unless it is made with novelty=true"
            raise Refused(msg)
    elif _has(example, "decision_function"):
        return "decision_function", 1
    msg = (
        f"{_what(example)} has `fit` but no score of outliers; expected score_samples or decision_function "
        "of an outlier detector, or a density; one that tells kinds of failures apart has to be declared: "
        "task = 'classifier'"
    )
    raise Refused(msg)


def _final_step(example: Any) -> Any:
    steps = getattr(example, "steps", None)
    while isinstance(steps, list) and steps:
        example = steps[-1][1]
        steps = getattr(example, "steps", None)
    return example


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", None) or _what(function))


def _what(example: Any) -> str:
    return f"{type(example).__module__}.{type(example).__qualname__}"
