"""The report is one page that says what the tables say, and nothing can break out of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recorded_run import record_run
from synthetic import START_US, Story

from microservo.datasets import read_manifest, rebuild
from microservo.datasets.report import write_report
from microservo.datasets.series import Series, bins_of, points_per_series
from microservo.domain.text import printable
from microservo.testing import MemoryBroker
from schemas.codec import decode_as
from schemas.examples import example_bytes
from schemas.records import Evaluation


def data_of(page: str) -> dict[str, object]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match
    found: dict[str, object] = json.loads(match[1])
    return found


def test_the_page_needs_nothing_from_elsewhere(original: Path) -> None:
    page = (original / "report.html").read_text("utf-8")
    assert len(page) < 3_000_000
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?https?:""", page)
    assert not re.findall(r"@import|url\((?!data:)", page)
    assert "default-src 'none'" in page


def test_text_from_the_run_is_escaped(original: Path) -> None:
    page = (original / "report.html").read_text("utf-8")
    assert "<script>alert(1)</script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_hostile_service_name_stays_text_and_nothing_in_it_is_hidden(tmp_path: Path) -> None:
    broker = MemoryBroker()
    evil = "</script><img src=x onerror=alert(1)><!--\x1b[2J\u202e{{ 7 * 7 }}"
    record_run(broker, Story(seconds=20, services=(evil, "cart")))
    rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    page = (tmp_path / "d" / "report.html").read_text("utf-8")
    assert not {"<img", "\x1b", "\u202e"} & set(re.findall(r"<img|\x1b|\u202e", page))
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&lt;!--\\x1b[2J\\u202e{{ 7 * 7 }}" in page
    services = data_of(page)["services"]
    assert isinstance(services, list)
    assert printable(evil) in {service["name"] for service in services}


def test_every_element_of_the_page_is_closed(original: Path) -> None:
    open_elements: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "input"):
                open_elements.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_elements.pop() == tag

    Checker().feed((original / "report.html").read_text("utf-8"))
    assert open_elements == []


@pytest.mark.parametrize(
    ("status", "words"),
    [("running", "<dd>goes on</dd>"), ("aborted", "<dd>unknown: it was aborted</dd>")],
)
def test_only_a_run_that_goes_on_is_said_to_go_on(dataset: Path, status: str, words: str) -> None:
    manifest = read_manifest(dataset)
    unended = replace(manifest, run=replace(manifest.run, status=status, finished_at_us=None))
    write_report(dataset, unended)
    page = (dataset / "report.html").read_text("utf-8")
    assert words in page
    assert ("This run was aborted" in page) == (status == "aborted")
    assert ("goes on" in page) == (status == "running")


def test_the_board_of_the_run_stands_in_its_report(dataset: Path) -> None:
    evaluation = decode_as(Evaluation, example_bytes()["evaluation", 1]["detector"])
    write_report(dataset, read_manifest(dataset), [evaluation])
    page = (dataset / "report.html").read_text("utf-8")
    assert "n-sigma@1" in page
    assert "AUC-PR" in page
    assert "&lt;svg" not in page


def test_each_service_has_its_windows_scores_and_bands(original: Path) -> None:
    data = data_of((original / "report.html").read_text("utf-8"))
    services = data["services"]
    assert isinstance(services, list)
    assert [service["name"] for service in services] == ["cart", "checkout", "frontend", "shipping"]
    bands = 0
    for service in services:
        assert len(service["x"]) == 18
        assert all(len(values) == 18 for values in service["metrics"].values())
        assert len(service["scores"]["n-sigma"]) == 18
        assert any(value for value in service["metrics"]["p99"])
        bands += len(service["bands"])
        for band in [*service["bands"], *service["effects"]]:
            assert band["to"] > band["from"]
    assert bands > 0


def test_each_service_has_the_truth_of_its_windows_and_the_effects_that_were_measured(original: Path) -> None:
    page = (original / "report.html").read_text("utf-8")
    services = data_of(page)["services"]
    assert isinstance(services, list)
    windows = pq.read_table(original / "windows.parquet").to_pylist()
    for service in services:
        shown = {
            start_s: stretch["truth"]
            for stretch in service["truths"]
            for start_s in range(round(stretch["from"]), round(stretch["to"]), 5)
        }
        mine = [row for row in windows if row["service"] == service["name"]]
        assert shown == {round(row["start"].timestamp()): row["truth"] for row in mine}
    intervals = pq.read_table(original / "effect_intervals.parquet").num_rows
    assert sum(len(service["effects"]) for service in services) == intervals > 0
    for truth in ("anomalous", "masked", "normal"):
        count = sum(row["truth"] == truth for row in windows)
        assert f'<span class="{truth}">{count} {truth}</span>' in page


def test_effects_are_shown_with_size_samples_and_probability(dataset: Path) -> None:
    path = dataset / "effects.parquet"
    effects = pq.read_table(path)
    measured = {
        "series": "call/cart/error_share",
        "baseline": 0.001,
        "value": 0.25,
        "samples": 1042,
        "p_value": 1e-9,
    }
    for name, value in measured.items():
        field = effects.schema.field(name)
        column = pa.array([value] * effects.num_rows, field.type)
        effects = effects.set_column(effects.schema.get_field_index(name), field, column)
    pq.write_table(effects, path)
    write_report(dataset, read_manifest(dataset))
    page = (dataset / "report.html").read_text("utf-8")
    numbers = "".join(f'<td class="number">{each}</td>' for each in ("0.001", "0.25", "1,042", "1e-09"))
    assert numbers in re.sub(r">\s+<", "><", page)
    assert "call/cart/error_share" in page


def test_points_stand_in_the_middle_of_their_windows(original: Path) -> None:
    data = data_of((original / "report.html").read_text("utf-8"))
    assert data["from"] == START_US / 1e6
    assert data["to"] == START_US / 1e6 + 90
    services = data["services"]
    assert isinstance(services, list)
    assert services[0]["x"][:2] == [START_US / 1e6 + 2.5, START_US / 1e6 + 7.5]


def test_a_report_says_nothing_about_when_it_was_made(recorded: MemoryBroker, tmp_path: Path) -> None:
    pages = []
    for name in ("a", "b"):
        rebuild(recorded, run_id="run-1", out_dir=tmp_path / name)
        pages.append((tmp_path / name / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_run_without_anything_has_a_report(tmp_path: Path) -> None:
    broker = MemoryBroker()
    record_run(broker, replace(Story(), seconds=0, drain_s=1, services=("cart",)))
    manifest = rebuild(broker, run_id="run-1", out_dir=tmp_path / "d")
    assert {entry.rows for entry in manifest.files if entry.name == "windows.parquet"} == {0}


def test_long_series_are_thinned_and_keep_their_peaks() -> None:
    span = bins_of(0, 10_000, 1, 100)
    series = Series(span)
    values = np.zeros(10_000)
    values[5_555] = 9.0
    values[:100] = np.nan
    for first in range(0, 10_000, 999):
        series.add(np.arange(10_000)[first : first + 999], values[first : first + 999])
    points = series.points("max")
    assert len(points) == span.bins == 100
    assert np.nanmax(points) == 9.0
    assert np.isnan(points[0])
    assert not np.isnan(points[1:]).any()
    assert np.nanmax(series.points("mean")) == 9.0 / 100


def test_a_longer_run_has_no_more_points() -> None:
    assert [bins_of(7, 7 + windows * 5, 5, 1_000).bins for windows in (1, 1_000, 1_001, 10**9)] == [
        *(1, 1_000, 501, 1_000)
    ]


def test_many_services_share_the_points() -> None:
    assert points_per_series(1, 7) == 1_500
    assert points_per_series(60, 7) * 60 * 7 <= 160_000
