import math
import pickle

from microservo.algorithms.fenced.inputs import Inputs, Row


def settled(*names: str) -> Inputs:
    inputs = Inputs(settling_windows=1)
    inputs.rows(tuple(names), [1.0] * len(names))
    return inputs


def test_windows_wait_until_the_features_are_settled_and_then_all_come_in_order() -> None:
    inputs = Inputs(settling_windows=3)
    assert inputs.rows(("b",), [1.0]) == []
    assert inputs.rows(("b", "a"), [2.0, 3.0]) == []
    assert inputs.rows(("a", "b"), [4.0, 5.0]) == [(0.0, 1.0), (3.0, 2.0), (4.0, 5.0)]
    assert inputs.order == ("a", "b")
    assert inputs.rows(("b", "a"), [7.0, 8.0]) == [(8.0, 7.0)]


def test_undefined_and_missing_values_are_the_newest_before_and_counted() -> None:
    inputs = settled("a", "b", "c")
    assert inputs.rows(("a", "b", "c"), [2.0, math.nan, math.inf]) == [(2.0, 1.0, 1.0)]
    assert inputs.rows(("c",), [5.0]) == [(2.0, 1.0, 5.0)]
    assert (inputs.counts.undefined, inputs.counts.missing) == (2, 2)


def test_what_was_never_finite_is_zero() -> None:
    inputs = Inputs(settling_windows=1)
    assert inputs.rows(("a", "b"), [math.nan, 1.0]) == [(0.0, 1.0)]


def test_new_features_are_left_out_and_counted_each_time() -> None:
    inputs = settled("a", "b")
    for _ in range(2):
        assert inputs.rows(("a", "b", "new"), [1.0, 2.0, math.nan]) == [(1.0, 2.0)]
    assert (inputs.counts.new, inputs.counts.undefined) == (2, 0)


def test_large_values_are_no_undefined_ones() -> None:
    inputs = settled("a", "b")
    assert inputs.rows(("a", "b"), [1.7e308, 1.7e308]) == [(1.7e308, 1.7e308)]
    assert inputs.counts.undefined == 0


def test_a_window_without_features_and_one_with_a_single_one_are_windows() -> None:
    assert settled("a").rows(("a",), [3.0]) == [(3.0,)]
    assert settled("a").rows((), []) == [(1.0,)]
    empty: list[Row] = [()]
    assert settled().rows((), []) == empty


def test_what_was_seen_survives_a_restart() -> None:
    inputs = settled("a", "b")
    inputs.rows(("a", "b"), [3.0, 4.0])
    copy: Inputs = pickle.loads(pickle.dumps(inputs))  # noqa: S301 - our own
    assert copy.rows(("b",), [math.nan]) == [(3.0, 4.0)]
