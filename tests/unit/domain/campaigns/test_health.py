"""The bounds of a target, and for how long it keeps to them."""

from __future__ import annotations

from microservo.domain.campaigns.definition import Bounds
from microservo.domain.campaigns.health import Health, Watch, problems

WELL = Health(error_share=0.01, p99_ms=80.0, requests_per_s=9.0)


def test_a_target_without_bounds_is_always_well() -> None:
    watch = Watch(Bounds())
    assert watch.observe(Health(), 0.0) == ""
    assert watch.is_within(0.0)
    assert not watch.is_out(0.0)


def test_each_bound_that_is_not_kept_is_told() -> None:
    bounds = Bounds(error_share=0.1, p99_ms=100.0, requests_per_s=5.0, are_instances_up=True)
    assert list(problems(bounds, WELL)) == []
    ill = Health(error_share=0.5, p99_ms=900.0, requests_per_s=1.0, down=("cart-0",))
    assert list(problems(bounds, ill)) == [
        "50% of the requests fail, 10% may",
        "99 of 100 requests take up to 900 ms, 100 ms may be",
        "1.0 requests/s, at least 5 are to be",
        "down: cart-0",
    ]


def test_what_is_not_known_keeps_to_no_bound() -> None:
    watch = Watch(Bounds(error_share=0.1, p99_ms=100.0))
    assert watch.observe(Health(), 0.0) == "no request of a user is known"


def test_a_target_is_steady_once_it_has_been_so_for_long_enough_without_a_break() -> None:
    watch = Watch(Bounds(error_share=0.1, for_s=10.0))
    watch.observe(WELL, 0.0)
    assert not watch.is_within(9.0)
    watch.observe(Health(error_share=0.4), 9.0)
    watch.observe(WELL, 10.0)
    assert not watch.is_within(19.0)
    assert watch.is_within(20.0)


def test_a_target_that_is_out_of_bounds_for_a_moment_is_not_given_up() -> None:
    watch = Watch(Bounds(error_share=0.1, for_s=10.0))
    watch.observe(Health(error_share=0.4), 0.0)
    assert not watch.is_out(9.9)
    watch.observe(Health(error_share=0.6), 9.0)
    assert watch.is_out(10.0)
    watch.observe(WELL, 11.0)
    assert not watch.is_out(30.0)
