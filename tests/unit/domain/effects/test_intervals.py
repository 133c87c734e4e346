from __future__ import annotations

import numpy as np

from microservo.domain.effects.intervals import Interval, merged, runs, silences, stretches

SECOND_US = 1_000_000


def found(
    pattern: str, *, natural: float = 0.01, share: float = 0.9, pause_us: int = SECOND_US
) -> list[Interval]:
    """The intervals of records a tenth of a second apart; `x` deviates, and so does `p`, but partly."""
    times_us = np.arange(len(pattern)) * 100_000
    deviates = np.array([each == "x" for each in pattern])
    partly = np.array([each in "xp" for each in pattern])
    return runs(times_us, deviates, natural=natural, share=share, pause_us=pause_us, partly=partly)


def test_an_interval_reaches_from_the_first_deviating_record_to_the_last() -> None:
    (interval,) = found(".....xxx.xxxx......")
    assert (interval.start_us, interval.end_us) == (500_000, 1_200_000)
    assert (interval.start_within_us, interval.end_within_us) == (100_000, 100_000)


def test_what_deviates_alone_long_after_is_no_part_of_it() -> None:
    (interval,) = found("..xxxxxx............................x....")
    assert interval.end_us == 700_000


def test_where_only_some_records_deviate_many_normal_ones_may_lie_between_them() -> None:
    pattern = ".....x........x.......x..........x.......x......x.............x........." + "." * 100
    (interval,) = found(pattern, share=0.1, natural=0.002, pause_us=10 * SECOND_US)
    assert (interval.start_us, interval.end_us) == (500_000, 6_200_000)


def test_the_record_in_front_belongs_to_an_interval_if_it_holds_the_first_part_of_it() -> None:
    (interval,) = found("..p.ppxxxx......")
    assert (interval.start_us, interval.end_us) == (500_000, 900_000), "one record is in force in part"
    (interval,) = found("..p..xxxx......")
    assert interval.start_us == 500_000


def test_an_effect_that_pauses_has_an_interval_on_each_side() -> None:
    both = found("xxxxxx" + "." * 30 + "xxxxxx")
    assert [(each.start_us, each.end_us) for each in both] == [(0, 500_000), (3_600_000, 4_100_000)]


def test_intervals_with_a_short_pause_between_them_are_one() -> None:
    (interval,) = found("xxxxxx" + "." * 30 + "xxxxxx", pause_us=5 * SECOND_US)
    assert (interval.start_us, interval.end_us) == (0, 4_100_000)


def test_the_edges_of_what_was_looked_at_say_that_nothing_is_known_beyond() -> None:
    (interval,) = found("xxxxxx")
    assert (interval.start_within_us, interval.end_within_us) == (None, None)


def test_what_ends_together_behind_a_fault_is_a_stretch_and_a_straggler_is_none() -> None:
    times_us = np.array([1.1, 1.2, 4.0, 4.4, 4.9, 8.0]) * SECOND_US
    whole = [Interval(start_us=0, end_us=10 * SECOND_US)]
    found = stretches(times_us.astype(np.int64), whole, SECOND_US, 3)
    assert [(each.start_us, each.end_us) for each in found] == [
        (1_100_000, 1_200_000),
        (4_000_000, 4_900_000),
    ]


def test_without_deviating_records_there_is_no_interval() -> None:
    assert found("........") == []


def test_a_silence_begins_when_the_next_record_is_overdue_and_ends_with_it() -> None:
    begins_us = np.array([0, 100_000, 200_000, 2_200_000, 2_300_000])
    (silence,) = silences(begins_us, 150_000, 0, 2_350_000)
    assert (silence.start_us, silence.end_us) == (350_000, 2_200_000)
    assert (silence.start_within_us, silence.end_within_us) == (150_000, 0)


def test_a_silence_that_goes_on_has_no_end_yet() -> None:
    (silence,) = silences(np.array([0, 100_000]), 150_000, 0, 3_000_000)
    assert (silence.start_us, silence.end_us, silence.end_within_us) == (250_000, 3_000_000, None)


def test_merging_keeps_the_precision_of_both_ends() -> None:
    first = Interval(start_us=0, end_us=10, start_within_us=1, end_within_us=2)
    second = Interval(start_us=15, end_us=30, start_within_us=3, end_within_us=4)
    inner = Interval(start_us=3, end_us=5, start_within_us=9, end_within_us=9)
    (one,) = merged([second, inner, first], 10)
    assert one == Interval(start_us=0, end_us=30, start_within_us=1, end_within_us=4)
