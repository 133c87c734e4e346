from __future__ import annotations

import numpy as np

from microservo.algorithms import Case, Declaration
from microservo.algorithms.casework import Casework, case_sha256
from microservo.domain.system_rows import SystemRows
from schemas import records

S = 1_000_000
SIZE_US = 5 * S


def window(service: str, number: int, *, kind: str = "service", **features: float) -> records.FeatureWindow:
    values = {"metric/load/mean": float(number), **features}
    return records.FeatureWindow(
        run_id="run-1",
        service=service,
        service_kind=kind,
        start_us=number * SIZE_US,
        end_us=(number + 1) * SIZE_US,
        revision=0,
        names=tuple(sorted(values)),
        values=tuple(value for _, value in sorted(values.items())),
    )


def case(opened: int, until: int | None = None) -> records.Case:
    """Something that begins in the window with this number."""
    return records.Case(
        run_id="run-1",
        case_id="c-1",
        origin="alarm",
        detector="n-sigma",
        detector_version=1,
        service="cart",
        opened_us=(opened + 1) * SIZE_US,
        until_us=((opened if until is None else until) + 1) * SIZE_US,
        published_at_us=0,
    )


def casework(count: int = 20, history: int = 100, **declared: object) -> Casework:
    rows = SystemRows(keep_us=1000 * SIZE_US)
    for number in range(1, count + 1):
        rows.add(window("cart", number), 0)
        late = {"log/late": 1.0} if number > 12 else {}
        rows.add(window("ads", number, kind="service", **late), 0)
        rows.add(window("host-1", number, kind="host"), 0)
    declaration = Declaration(object="a:b", task="ranker", **declared)  # type: ignore[arg-type]
    return Casework(declaration, rows, history * SIZE_US)


def test_a_case_has_the_windows_of_all_services_up_to_its_end() -> None:
    made = casework().case(case(15, until=17))
    assert made is not None
    assert made.alarm_us == 15 * SIZE_US
    assert made.start_us.tolist() == [number * SIZE_US for number in range(9, 18)]
    assert set(made.features) == {"ads", "cart"}
    names, values = made.features["ads"]
    assert names == ("log/late", "metric/load/mean")
    assert np.isnan(values[:4, 0]).all()
    assert values[-1].tolist() == [1.0, 17.0]


def test_it_is_ready_once_these_windows_are_there() -> None:
    made = casework(count=15)
    assert made.is_ready(case(15))
    assert not made.is_ready(case(16))


def test_it_goes_back_no_further_than_it_should() -> None:
    made = casework(history=6).case(case(15))
    assert made is not None
    assert made.start_us[0] == 10 * SIZE_US


def test_without_windows_before_it_there_is_no_case() -> None:
    assert casework().case(case(11)) is None
    assert casework().case(case(12)) is not None


def test_only_the_calls_that_were_seen_by_then_are_shown() -> None:
    made = casework()
    for callee, number in (("cart", 3), ("ads", 18), ("cart", 19)):
        made.add_graph(
            records.ServiceGraph(
                run_id="run-1",
                start_us=number * SIZE_US,
                end_us=(number + 1) * SIZE_US,
                callers=("frontend",),
                callees=(callee,),
                callee_kinds=("service",),
                calls=(3,),
                errors=(0,),
            )
        )
    shown = made.case(case(15))
    assert shown is not None
    assert list(shown.graph) == [("frontend", "cart")]


def test_the_identity_of_a_case_changes_with_what_is_shown() -> None:
    made = casework()

    def sha256(shown: Case) -> str:
        return case_sha256(shown, Declaration(object="a:b", task="ranker"))

    first, again, other = (made.case(case(number)) for number in (15, 15, 16))
    assert first is not None
    assert again is not None
    assert other is not None
    assert sha256(first) == sha256(again) != sha256(other)
