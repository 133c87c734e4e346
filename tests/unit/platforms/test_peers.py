"""Callers find the new places of services while they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservo.domain.geography import Coordinates
from microservo.errors import InvalidInput
from microservo.platforms.local.peers import (
    LOOK_S,
    SILENT_S,
    FollowedPeers,
    Peers,
    Replica,
    Vicinity,
    write_peers,
)
from microservo.platforms.local.places import vicinity

A, B, C = "http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"


class Clock:
    """A steady clock that moves by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_addresses_are_taken_in_turn() -> None:
    peers = Peers({"back": [A, B], "nobody": []})
    assert [peers.next("back") for _ in range(3)] == [A, B, A]
    assert peers.next("nobody") is None
    assert peers.next("unknown") is None


def test_a_call_after_the_look_time_goes_to_the_new_address(tmp_path: Path) -> None:
    path, clock = tmp_path / "peers.json", Clock()
    write_peers(path, {"back": [A]})
    peers = FollowedPeers(path, now_s=clock)
    write_peers(path, {"back": [B]})
    clock.now_s = LOOK_S * 0.9
    assert peers.next("back") == A, "it looks no more often than it says"
    clock.now_s = LOOK_S
    assert peers.next("back") == B


def test_services_come_and_go_and_the_others_go_on_in_turn(tmp_path: Path) -> None:
    path, clock = tmp_path / "peers.json", Clock()
    write_peers(path, {"back": [A, B], "old": [C]})
    peers = FollowedPeers(path, now_s=clock)
    assert peers.next("back") == A
    write_peers(path, {"back": [A, B], "new": [C]})
    clock.now_s += LOOK_S
    assert peers.next("new") == C
    assert peers.next("old") is None
    assert peers.next("back") == B


@pytest.mark.parametrize(
    "broken",
    [
        *('{"back": "not a list"}', '{"back": [null]}', '{"back": ["127.0.0.1:80"]}'),
        *('{"back": ["http://127', "[]", "null", ""),
        *('{"back": [{"host": "tokyo"}]}', '{"back": [{"url": "http://127.0.0.1:80", "host": 7}]}'),
        '{"back": [{"url": "http://127.0.0.1:80", "planet": "Mars"}]}',
    ],
)
def test_a_broken_file_changes_nothing_and_the_next_good_one_counts(
    broken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "peers.json", Clock()
    write_peers(path, {"back": [A]})
    peers = FollowedPeers(path, now_s=clock)
    path.write_text(broken)
    clock.now_s += LOOK_S
    assert peers.next("back") == A
    assert "is unusable" in caplog.text
    write_peers(path, {"back": [B]})
    clock.now_s += LOOK_S
    assert peers.next("back") == B


def test_a_file_that_is_broken_from_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is unusable"):
        FollowedPeers(tmp_path / "none.json")


def test_without_a_file_nobody_is_known() -> None:
    assert FollowedPeers.of(None).next("back") is None


D = "http://127.0.0.1:4"
HERE, NEIGHBOUR = Replica(A, "tokyo-1", "Asia"), Replica(B, "tokyo-2", "Asia")
NEXT, FAR = Replica(C, "darwin", "Oceania"), Replica(D, "berlin", "Europe")
ALL = [FAR, NEXT, NEIGHBOUR, HERE]
CALLER = Vicinity("tokyo-1", ("Asia", "Oceania", "Europe"))


@pytest.mark.parametrize(
    ("replicas", "taken"),
    [
        (ALL, A),
        ([FAR, NEXT, NEIGHBOUR], B),
        ([FAR, NEXT], C),
        ([FAR], D),
        ([Replica(A), FAR], D),
        ([Replica(A, "rome", "Atlantis"), Replica(B)], A),
    ],
    ids=["host", "region", "nearest region", "any region", "somewhere", "nowhere known"],
)
def test_a_caller_takes_what_is_nearest_to_it(replicas: list[Replica], taken: str) -> None:
    assert Peers({"back": replicas}, near=CALLER).next("back") == taken


def test_among_those_that_are_equally_near_calls_go_in_turn_and_each_caller_has_its_own() -> None:
    other = Replica(C, "tokyo-3", "Asia")
    peers = Peers({"back": [FAR, NEIGHBOUR, other]}, near=CALLER)
    assert [peers.next("back") for _ in range(3)] == [B, C, B]
    assert peers.next("back", Vicinity("", ("Europe",))) == D
    assert peers.next("back") == C


def test_callers_that_are_nowhere_take_all_in_turn_and_go_on_to_ask_who_is_silent() -> None:
    peers = Peers({"back": ALL})
    peers.silent(A)
    assert [peers.next("back") for _ in range(4)] == [D, C, B, A]


def test_while_the_nearest_does_not_answer_the_next_one_is_taken_and_one_call_looks_whether_it_does() -> None:
    clock = Clock()
    peers = Peers({"back": ALL}, near=CALLER, now_s=clock)
    for silent, then in ((A, B), (B, C), (C, D)):
        peers.silent(silent)
        assert peers.next("back") == then
    peers.silent(D)
    assert peers.next("back") == A, "where nobody answers, the nearest may as well be asked"
    clock.now_s += SILENT_S
    assert [peers.next("back") for _ in range(4)] == [A, B, C, D], "each is tried by one call"
    peers.heard(B)
    assert [peers.next("back") for _ in range(2)] == [B, B]
    peers.heard(A)
    assert peers.next("back") == A


def test_what_a_file_says_of_hosts_and_regions_is_followed(tmp_path: Path) -> None:
    path, clock = tmp_path / "peers.json", Clock()
    write_peers(path, {"back": [FAR], "front": [A]})
    peers = FollowedPeers(path, near=CALLER, now_s=clock)
    assert (peers.next("back"), peers.next("front")) == (D, A)
    peers.silent(D)
    write_peers(path, {"back": [FAR, HERE]})
    clock.now_s += LOOK_S
    assert peers.next("back") == A


def test_regions_are_near_by_the_distance_of_their_centres_but_for_the_own_one() -> None:
    tokyo = vicinity(Coordinates(35.7, 139.7), host="tokyo-1")
    assert (tokyo.host, tokyo.regions[:2]) == ("tokyo-1", ("Asia", "Oceania"))
    assert len(tokyo.regions) == 7
    assert vicinity(Coordinates(52.5, 13.4)).regions[0] == "Europe"
    named = vicinity(Coordinates(52.5, 13.4), region="Prussia")
    assert named.regions[:2] == ("Prussia", "Europe")
