"""Callers find the new places of services while they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from microservo.errors import InvalidInput
from microservo.platforms.local.peers import LOOK_S, FollowedPeers, Peers, write_peers

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
