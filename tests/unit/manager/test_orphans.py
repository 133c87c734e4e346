"""When a container that nothing is recorded of is taken for one that was left behind."""

from __future__ import annotations

from services.manager.orphans import PATIENCE_US, Orphans


def test_one_that_is_only_under_way_is_none_and_one_that_stays_is_found_again_and_again() -> None:
    orphans = Orphans()
    both, one = {"new": "a", "old": "b"}, {"old": "b"}
    assert orphans.found(both, 0) == []
    assert orphans.found(one, PATIENCE_US - 1) == []
    (found,) = orphans.found(both, PATIENCE_US)
    assert (found.now_us, found.container, found.host) == (PATIENCE_US, "old", "b")
    assert orphans.found(one, 2 * PATIENCE_US - 1) == []
    assert [each.container for each in orphans.found(both, 2 * PATIENCE_US)] == ["old"]
