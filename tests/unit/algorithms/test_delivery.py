import numpy as np

from microservo.algorithms.declaration import Declaration
from microservo.algorithms.delivery import Delivery, system_row

NAMES = (
    "call/*/count",
    "log/severity/error",
    "metric/cpu/mean",
    "request/*/p99_ms",
    "request/GetCart/p99_ms",
    "telemetry/logs",
    "telemetry/silent",
)


def delivered(**declared: object) -> tuple[str, ...]:
    declaration = Declaration(object="a:b", **declared)  # type: ignore[arg-type]
    return Delivery(declaration)(NAMES, np.zeros((1, len(NAMES))))[0]


def test_all_is_delivered_unless_something_else_is_declared() -> None:
    assert delivered() == NAMES


def test_a_signal_brings_its_features_and_no_others() -> None:
    assert delivered(signals=("logs",)) == ("log/severity/error", "telemetry/logs", "telemetry/silent")
    assert delivered(signals=("metrics",)) == ("metric/cpu/mean", "telemetry/silent")
    assert delivered(signals=("traces",)) == (*NAMES[:1], *NAMES[3:5], "telemetry/silent")


def test_patterns_choose_within_the_signals() -> None:
    assert delivered(only=("request/[*]/*",)) == ("request/*/p99_ms",)
    assert delivered(only=("request/*", "log/*"), signals=("traces",)) == NAMES[3:5]


def test_the_columns_are_those_of_the_names() -> None:
    choose = Delivery(Declaration(object="a:b", signals=("logs",)))
    rows = np.arange(14.0).reshape(2, 7)
    for _ in range(2):
        assert choose(NAMES, rows)[1].tolist() == [[1.0, 5.0, 6.0], [8.0, 12.0, 13.0]]


def test_the_system_is_one_row_whose_features_say_the_service() -> None:
    names, row = system_row(
        {"pay": (("log/a", "metric/b"), np.array([1.0, 2.0])), "cart": (("log/a",), np.array([3.0]))}
    )
    assert names == ("cart/log/a", "pay/log/a", "pay/metric/b")
    assert row.tolist() == [[3.0, 1.0, 2.0]]
    choose = Delivery(Declaration(object="a:b", per="system", signals=("logs",)))
    assert choose(names, row)[0] == ("cart/log/a", "pay/log/a")
