"""What a run says of its sources is read from the command line and from TOML, or refused with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservo.domain.watermarks import NEVER_WAITS_US
from microservo.errors import InvalidInput
from microservo.sources.declared import read_source, source_named, sources_in, write_source
from microservo.system.options import declared_sources

S = 1_000_000


def test_a_source_is_named_by_kind_and_address() -> None:
    source = source_named("prometheus=http://prometheus:9090")
    assert (source.kind, source.name) == ("prometheus", "prometheus")
    assert (source.first_cut_us(2 * S), source.final_cut_us(30 * S)) == (2 * S, 90 * S)


def test_a_file_says_all_and_its_paths_count_from_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(
        '[[source]]\nkind = "prometheus"\nurl = "http://a:9090"\nname = "first"\nwaits = false\nlate_s = 5\n'
        'queries = "own.toml"\n[[source]]\nkind = "prometheus"\nurl = "http://b:9090"\n'
    )
    first, second = sources_in(path)
    assert (first.name, second.name) == ("first", "prometheus")
    assert (first.first_cut_us(2 * S), first.final_cut_us(30 * S)) == (NEVER_WAITS_US, 35 * S)
    written = tmp_path / "kept" / "first.json"
    write_source(first, written)
    assert read_source(written) == first
    assert str(tmp_path / "own.toml") in written.read_text()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prometheus", "write KIND=ADDRESS"),
        ("graphite=http://x", "with a kind of prometheus"),
        ("prometheus=ftp://x", "can't be used: .*url"),
    ],
)
def test_what_is_no_source_is_refused_with_what_would_do(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        source_named(text)


def test_a_file_with_a_slip_of_the_pen_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    for text, reason in (
        ("[[source]", "can't be read"),
        ('[[source]]\nkind = "prometheus"\nurl = "http://a"\nscrap_s = 5\n', r"scrap_s: Extra inputs"),
        ('[[source]]\nkind = "prometheus"\nurl = "http://a"\nname = "A b"\n', r"name"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidInput, match=reason):
            sources_in(path)


def test_two_sources_of_one_name_are_refused_since_each_is_a_writer() -> None:
    with pytest.raises(InvalidInput, match="two sources are called 'prometheus'"):
        declared_sources(["prometheus=http://a", "prometheus=http://b"], None)
