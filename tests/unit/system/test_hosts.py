"""The hosts of a managed system: what a file may say, and where they are without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from microservo.cli.root import cli
from microservo.errors import InvalidInput
from microservo.system.hosts import THREE_REGIONS, HostOptions, hosts_in

HOST = '[[host]]\nname = "{}"\nlatitude = {}\nlongitude = 13.4\n'


def test_without_a_file_there_is_a_host_in_each_of_three_regions() -> None:
    regions = [each.region_name for each in THREE_REGIONS]
    assert regions == ["Europe", "North America", "Asia"]


def test_a_file_names_hosts_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(HOST.format("b", 0) + "cores = 2\n" + HOST.format("a", -90) + 'place = "cloud"\n')
    first, second = hosts_in(file)
    assert (first.name, first.latitude, first.cores, first.place) == ("b", 0.0, 2.0, "edge")
    assert (second.name, second.latitude, second.place) == ("a", -90.0, "cloud")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "host: Field required; give [[host]] tables"),
        ("host = []", "host: Tuple should have at least 1 item"),
        (HOST.format("a", 91), "host.0.latitude: Input should be less than or equal to 90"),
        (HOST.format("a", "nan"), "host.0.latitude"),
        (HOST.format("a b", 1), "host.0.name"),
        (HOST.format("a", 1) + "memory = 1", "host.0.memory: Extra inputs are not permitted"),
        (HOST.format("a", 1) * 2, "a is there twice; give each a name of its own"),
        ("[[host", "give a TOML file with [[host]] tables"),
    ],
)
def test_hosts_that_can_not_be_are_refused_with_the_way_out(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "hosts.toml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=re.escape(said)):
        hosts_in(file)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--managed", "--target", "kubernetes", "--namespace", "shop"], "--managed is for a target on this"),
        (["--hosts", __file__], "--hosts names the hosts of a managed target; add --managed"),
    ],
)
def test_hosts_where_there_can_be_none_are_refused(options: list[str], said: str) -> None:
    ended = CliRunner().invoke(cli, ["up", *options])
    assert ended.exit_code != 0
    assert said in ended.output


def test_a_host_is_in_the_region_that_it_names_or_else_in_the_nearest() -> None:
    assert HostOptions(name="a", latitude=35.7, longitude=139.7).region_name == "Asia"
    assert HostOptions(name="a", latitude=35.7, longitude=139.7, region="mine").region_name == "mine"
