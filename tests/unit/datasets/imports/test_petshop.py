"""PetShop, on a small scenario that was made by hand after the layout of the published one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from foreign_recordings import GOLDEN_PETSHOP, S, parts_of, rows_of, staged

from microservo.datasets.imports.staging import Staged
from microservo.domain.rows import MetricRows
from microservo.errors import InvalidInput

SEARCH, LAMBDA = "PetSearch_AWS::ECS::Fargate", "lambdastatusupdater_AWS::Lambda::Function"


@pytest.fixture
def petshop(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN_PETSHOP, tmp_path / "dataset"))


def points(part: Staged) -> dict[tuple[str, str, int], float]:
    return {
        (each.service, each.name.names[code], time_us // S): value
        for each in rows_of(part)
        if isinstance(each, MetricRows)
        for code, time_us, value in zip(
            each.name.codes, each.time_us.tolist(), each.value.tolist(), strict=True
        )
    }


def test_normal_days_and_each_issue_are_parts_for_months_lie_between_them(petshop: Path) -> None:
    found = parts_of(petshop)
    assert [each.part for each in found] == [
        "high_traffic/noissue",
        "high_traffic/test/issue_0",
        "high_traffic/train/issue_0",
    ]
    assert [each.format_name for each in found] == ["petshop"] * 3
    normal, issue, _ = found
    assert normal.faults == ()
    assert normal.fault_free_until_us == normal.until_us, "that is what the set says of it"
    assert normal.from_us - issue.from_us > 100 * 86_400 * S


def test_every_value_comes_in_under_node_metric_and_statistic(petshop: Path) -> None:
    normal, issue, _ = map(points, parts_of(petshop))
    assert len(normal) == 3 * 9
    assert normal[SEARCH, "availability_Average", 1_693_922_700] == 99.5
    assert len(issue) == 5 * 9 + 2 * 3, "cells without a value are no points"
    assert issue["PetSite", "latency_p99", 1_681_399_500] == 0.7868
    assert issue["invalid_AWS::DynamoDB::Table", "availability_Average", 1_681_399_200] == 0.0


def test_the_label_is_a_fault_at_the_root_cause_known_to_five_minutes(petshop: Path) -> None:
    _, issue, _ = parts_of(petshop)
    (fault,) = issue.faults
    assert (fault.service, fault.kind, fault.start_us, fault.end_us, fault.within_us) == (
        LAMBDA,
        "latency",
        1_681_399_159 * S,
        None,
        300 * S,
    )
    assert any("latency of PetSite), and not what was injected or how long" in each for each in issue.notes)


def test_the_graph_says_who_calls_whom(petshop: Path) -> None:
    for part in parts_of(petshop):
        assert part.edges == {("PetSite", SEARCH), (LAMBDA, "invalid_AWS::DynamoDB::Table")}


def test_one_folder_of_an_issue_finds_its_graph_above_and_is_told_where_there_is_none(petshop: Path) -> None:
    place = petshop / "high_traffic" / "test" / "issue_0"
    alone = staged(place)
    assert (alone.part, len(alone.edges)) == ("high_traffic/test/issue_0", 2)
    (petshop / "high_traffic" / "graph.csv").unlink()
    assert any("not known who calls whom" in each for each in staged(place).notes)


@pytest.mark.parametrize(
    ("row", "written", "words"),
    [
        (1, "service,PetSite,PetSite", "row 1: it begins with 'service'; expected 'microservice'"),
        (2, "metric,latency", "row 2: 2 values for 13 columns"),
        (3, "kind" + "," * 12, "row 3: it begins with 'kind'; expected 'statistic'"),
        (4, "unix_timestamp" + ",1" * 12, "row 4: it begins with 'unix_timestamp'; expected"),
        (4, "1681398600.0" + ",1" * 12, "row 4: it begins with '1681398600.0'; expected 'unix_timestamp'"),
        (3, "statistic" + ",Average" * 12, "row 4: column PetSite latency_Average is there 2 times"),
        (6, "1681398900.0,0.1", "row 6: 2 values for 13 columns; it was cut"),
        (6, "1681398900.0,fast" + "," * 11, "row 6: PetSite latency_Average is 'fast', which is no number"),
        (6, "2023-04-13 15:15:00,0.1" + "," * 11, "row 6: unix_timestamp is '2023-04-13 15:15:00'"),
    ],
)
def test_a_row_of_another_shape_is_refused_by_file_and_row(
    row: int, written: str, words: str, petshop: Path
) -> None:
    path = petshop / "high_traffic" / "test" / "issue_0" / "metrics.csv"
    lines = path.read_text().splitlines()
    lines[row - 1] = written
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InvalidInput) as caught:
        parts_of(petshop, "petshop")
    assert f"high_traffic/test/issue_0/metrics.csv, {words}" in str(caught.value)


def test_an_issue_without_its_label_is_refused_and_so_is_a_graph_that_was_cut(petshop: Path) -> None:
    label = petshop / "high_traffic" / "test" / "issue_0" / "target.json"
    label.unlink()
    with pytest.raises(
        InvalidInput, match=r"high_traffic/test/issue_0/target.json can't be read: No such file"
    ):
        parts_of(petshop)
    graph = petshop / "high_traffic" / "graph.csv"
    graph.write_text(graph.read_text()[:-5])
    with pytest.raises(InvalidInput, match=r"graph.csv, row 5: 4 values for 5 columns"):
        parts_of(petshop)
