"""Manifest and card."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from microservo.domain.datasets.card import dataset_card
from microservo.domain.datasets.manifest import FileEntry, Manifest, RunFacts, tables_hash
from microservo.domain.truth import RULE
from microservo.errors import InvalidInput
from schemas.records import PlannedFault, RunLoad, RunMachine

MANIFEST = Manifest(
    run=RunFacts(
        run_id="run-1",
        status="finished",
        seed=7,
        target='the "boutique"',
        started_at_us=1_700_000_000_000_000,
        finished_at_us=None,
        versions={"microservo": "0.1.0"},
        partitions=6,
        topology_sha256="9f86",
        loads=(RunLoad(journeys_per_s=8.0, seed=7, amplitude=0.25, period_s=600.0, noise=0.0, noise_s=10.0),),
        machines=(
            RunMachine(
                host_hash="3fc9b689459d",
                system="Linux",
                kernel="6.8.0",
                architecture="x86_64",
                cpu_model="Xeon | <b>",
                cpus=4,
                memory_bytes=16 * 2**30,
                python="3.12.3",
                clock_source="tsc",
                clock_resolution_ns=1,
            ),
        ),
        plan=(
            PlannedFault(kind="cpu-hog", service="cart", parameters={"load": "0.9"}, duration_s=12, gap_s=10),
        ),
        delays_us={"jshop": 5_000_000},
        clock_moved_us=-250,
    ),
    policy={
        "size_us": 5_000_000,
        "first_cut_us": 2_000_000,
        "final_cut_us": 30_000_000,
        "future_us": 5_000_000,
    },
    offsets={"telemetry-logs/0": (3, 17)},
    schema_ids={"log_batch.v1": 6},
    versions={"python": "3.11"},
    totals={"telemetry-logs": {"produced": 5}},
    final_until_us={"0": 12},
    unfinished_windows=2,
    files=(
        FileEntry(name="README.md", size_bytes=1, sha256="aa"),
        FileEntry(name="logs.parquet", size_bytes=2, sha256="bb", rows=50_000, content_sha256="cc"),
    ),
    content_hash="dd",
)


def test_a_manifest_survives_its_file() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def changed(**parts: object) -> str:
    return json.dumps({**json.loads(MANIFEST.to_json()), **parts})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "invalid JSON: EOF"),
        ("[]", "input should be an object;"),
        ("{}", "run: field required;"),
        (changed(format_version=99), "format_version: input should be 2, found 99"),
        (changed(unfinished_windows="2"), "unfinished_windows: input should be a valid integer, found '2'"),
        (changed(offsets={"t/0": [3]}), "offsets.t/0.1: field required"),
        (changed(more=1), "more: unexpected keyword argument, found 1"),
    ],
    ids=["empty", "list", "nothing in it", "another version", "another type", "half a range", "unknown part"],
)
def test_what_is_no_manifest_is_refused_in_one_line_that_names_the_part(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=r"^manifest\.json can't be read: ") as error:
        Manifest.from_json(text)
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_only_tables_count_for_the_content_hash() -> None:
    table = MANIFEST.files[1]
    assert tables_hash(MANIFEST.files) == tables_hash((table,))
    assert tables_hash((table,)) != tables_hash((replace(table, content_sha256="ee"),))


def test_files_are_found_by_name() -> None:
    assert MANIFEST.file("logs.parquet") is MANIFEST.files[1]
    assert MANIFEST.file("nothing") is None


def test_the_card_has_front_matter_for_each_table() -> None:
    card = dataset_card(MANIFEST)
    front = card.split("---\n")[1]
    assert "size_categories: [10K<n<100K]" in front
    assert "  - config_name: logs\n    data_files:\n      - split: train\n" in front
    assert "        path: logs.parquet\n" in front
    assert "| `logs.parquet` | a log line with its template | 50000 |" in card
    assert "2 windows were not final" in card


def test_the_card_says_what_a_reader_must_know_of_codes_rule_and_circumstances() -> None:
    card = dataset_card(MANIFEST)
    assert RULE in card
    assert "17 to 20 error" in card
    assert "| `kind` of `traces` | internal, server, client, producer, consumer |" in card
    assert "- machine 3fc9b689459d: Xeon | &lt;b&gt;, 4 processors, 16.0 GiB, Linux 6.8.0 x86_64" in card
    assert "- load: 8 journeys/s on the average, seed 7, moving by 25% over 600 s" in card
    assert "- topics of 6 partitions" in card
    assert "the wall clock moved by -0.25 ms" in card


def test_a_table_without_rows_is_no_config_that_hugging_face_would_fail_to_load() -> None:
    empty = replace(MANIFEST.files[1], name="windows.parquet", rows=0)
    assert "config_name: windows" not in dataset_card(replace(MANIFEST, files=(empty,)))
    full = dataset_card(replace(MANIFEST, files=(replace(empty, rows=1),)))
    assert "  - config_name: windows\n    default: true\n" in full


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (0, "n<1K"),
        (1_000, "1K<n<10K"),
        (999_999, "100K<n<1M"),
        (1_000_000, "1M<n<10M"),
        (30_000_000, "10M<n<100M"),
        (2_000_000_000, "1B<n<10B"),
        (10**13, "n>1T"),
    ],
)
def test_the_size_category_is_one_that_hugging_face_knows(rows: int, category: str) -> None:
    table = replace(MANIFEST.files[1], rows=rows)
    assert f"size_categories: [{category}]\n" in dataset_card(replace(MANIFEST, files=(table,)))


def test_a_run_id_can_not_add_lines_to_the_card() -> None:
    evil = 'x"\nlicense: mit\n---\n# \x1b <b>'
    card = dataset_card(replace(MANIFEST, run=replace(MANIFEST.run, run_id=evil)))
    assert "license: mit" not in card.splitlines()
    assert "<b>" not in card.split("---\n", 2)[2]
