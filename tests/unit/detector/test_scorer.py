import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from microservo.adapters.broker import Headers, Message, Partition, TopicSpec
from microservo.adapters.memory.consumer import MemoryConsumer
from microservo.domain.detectors import NSigma
from microservo.errors import Retryable
from microservo.testing import ManualClock, MemoryBroker
from schemas.codec import decode_as, encode
from schemas.envelope import HEARTBEAT_KEY, Stamp
from schemas.records import AnomalyScore, FeatureWindow
from services.detector.handlers import Scorer
from services.detector.history import FIRST_LOOK_BACK, History
from services.detector.service import build_scorer
from services.detector.settings import DetectorSettings

WINDOWS, SCORES, DEAD = "t-feature-windows", "t-anomaly-scores", "t-feature-windows-dlq"
SIZE_US = 5_000_000
NOW_US = 1_800_000_000_000_000
STAMP: Headers = Stamp(run="run", watermark_us=0, writer="streams", sequence=0, total=0).headers()


def window(index: int, value: float, *, service: str = "cart", **changes: Any) -> FeatureWindow:
    fields: dict[str, Any] = {
        "run_id": "run-1",
        "service": service,
        "start_us": index * SIZE_US,
        "end_us": (index + 1) * SIZE_US,
        "revision": 0,
        "names": ("cpu",),
        "values": (value,),
    }
    return FeatureWindow(**fields | changes)


class System:
    """A broker with one partition of everything, and the detector's parts on it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.clock = ManualClock(NOW_US)
        topics = [TopicSpec(name=name, partitions=1, config={}) for name in (WINDOWS, SCORES, DEAD)]
        self.broker.admin().ensure_topics(topics)
        self.producer = self.broker.producer()

    def scorer(self, **settings: Any) -> Scorer:
        given = {"topic_prefix": "t-", "run_id": "run-1"} | settings
        return build_scorer(DetectorSettings(**given), self.broker, self.producer, self.clock)

    def publish(self, *windows: FeatureWindow) -> None:
        for each in windows:
            self.raw(each.service.encode(), encode(each), run=each.run_id)

    def raw(self, key: bytes, value: bytes | None, *, run: str = "run-1") -> None:
        headers = (*STAMP, ("run", run.encode()))
        self.producer.send(WINDOWS, key=key, value=value, headers=headers, timestamp_us=NOW_US - 3_000)
        self.producer.flush(5)

    def messages(self, topic: str, start: int = 0) -> list[Message]:
        with self.broker.consumer(group_id=None) as consumer:
            partition = Partition(topic, 0)
            consumer.assign({partition: start})
            _, end = consumer.offset_range(partition)
            return consumer.consume(10_000, 0.01) if end > start else []

    def scores(self) -> list[AnomalyScore]:
        return [decode_as(AnomalyScore, message.value or b"") for message in self.messages(SCORES)]


@pytest.fixture
def system() -> Iterator[System]:
    made = System()
    yield made
    made.producer.close()


def content(scores: list[AnomalyScore]) -> list[tuple[str, int, str]]:
    return [(score.service, score.start_us, repr(score.score)) for score in scores]


def test_every_window_gets_one_score_with_its_latency(system: System) -> None:
    system.publish(*(window(index, index % 2) for index in range(8)), window(8, 50.0))
    system.scorer().handle(system.messages(WINDOWS))
    scores = system.scores()
    assert [score.start_us for score in scores] == [index * SIZE_US for index in range(9)]
    assert [math.isnan(score.score) for score in scores] == [True] * 6 + [False] * 3
    assert scores[-1].score > 10 > scores[-2].score
    assert {score.latency_us for score in scores} == {3_000}
    assert {(score.algorithm, score.run_id, score.revision) for score in scores} == {("n-sigma", "run-1", 0)}


def test_a_score_carries_the_service_as_key_and_says_which_event_it_is(system: System) -> None:
    system.publish(window(0, 1.0))
    system.scorer().handle(system.messages(WINDOWS))
    (message,) = system.messages(SCORES)
    assert message.key == b"cart"
    assert message.header("ce_id") == b"run-1/n-sigma/cart/0/0"
    assert message.header("run") == b"run-1"


def test_heartbeats_later_revisions_and_other_runs_are_passed_over(system: System) -> None:
    system.raw(HEARTBEAT_KEY, None)
    system.publish(window(0, 1.0, revision=1), window(0, 1.0, run_id="run-0"), window(0, 1.0))
    system.scorer().handle(system.messages(WINDOWS))
    assert [(score.run_id, score.revision) for score in system.scores()] == [("run-1", 0)]
    assert system.messages(DEAD) == []


def test_without_a_run_every_run_is_scored_by_its_own_past(system: System) -> None:
    system.publish(*(window(index, index % 2) for index in range(8)), window(8, 1.0, run_id="run-2"))
    system.scorer(run_id="").handle(system.messages(WINDOWS))
    assert math.isnan(system.scores()[-1].score)
    assert not math.isnan(system.scores()[-2].score)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", b"too few"),
        (b"\x00\x00\x00\x00\x63x", b"no known schema"),
        (encode(window(0, 1.0))[:-3], b"does not follow"),
        (encode(window(0, 1.0, names=("a", "b"))), b"column values has 1 entries; expected 2"),
        (None, b"no heartbeat"),
    ],
)
def test_what_can_not_be_read_goes_to_the_dead_letters_and_the_rest_flows_on(
    system: System, value: bytes | None, reason: bytes
) -> None:
    system.raw(b"cart", value)
    system.publish(window(0, 1.0))
    system.scorer().handle(system.messages(WINDOWS))
    (dead,) = system.messages(DEAD)
    assert (dead.key, dead.value) == (b"cart", value)
    assert reason in (dead.header("dlq_reason") or b"")
    assert len(system.scores()) == 1


def test_a_batch_that_is_given_again_is_neither_learned_nor_scored_again(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.publish(*(window(index, index % 3) for index in range(10)))
    scorer = system.scorer()
    flush = system.producer.flush
    attempts = iter([Retryable("the queue is full"), None])

    def failing_once(timeout_s: float) -> None:
        if error := next(attempts):
            raise error
        flush(timeout_s)

    monkeypatch.setattr(system.producer, "flush", failing_once)
    batch = system.messages(WINDOWS)
    with pytest.raises(Retryable):
        scorer.handle(batch)
    scorer.handle(batch)
    scores = content(system.scores())
    assert len(set(scores)) == 10
    assert scores[-10:] == _straight(10)


def test_windows_that_the_log_repeats_are_scored_once(system: System) -> None:
    stream = [window(index, index % 3) for index in range(10)]
    system.publish(*stream[:8], *stream[5:])
    system.scorer().handle(system.messages(WINDOWS))
    assert content(system.scores()) == _straight(10)


@pytest.mark.parametrize("algorithm", ["n-sigma", "random"])
@pytest.mark.parametrize("stopped_at", [1, 5, 12])
def test_after_a_restart_at_any_point_the_scores_are_the_same(
    system: System, algorithm: str, stopped_at: int
) -> None:
    system.publish(*(window(index, index % 3) for index in range(15)))
    batch = system.messages(WINDOWS)
    system.scorer(algorithm=algorithm).handle(batch)
    straight = content(system.scores())
    system.scorer(algorithm=algorithm).handle(batch[stopped_at:])
    assert content(system.scores())[15:] == straight[stopped_at:]


def test_a_partition_that_went_and_came_back_is_learned_afresh(system: System) -> None:
    system.publish(*(window(index, index % 3) for index in range(15)))
    batch = system.messages(WINDOWS)
    scorer = system.scorer()
    scorer.handle(batch[:10])
    scorer.release([Partition(WINDOWS, 0)])
    scorer.handle(batch[8:])
    assert content(system.scores())[10:] == _straight(15)[8:]


def test_the_past_is_bounded_to_the_newest_windows_of_each_service(system: System) -> None:
    system.publish(*(window(index, 0.0) for index in range(20)), window(0, 0.0, service="ad"))
    past = History(system.broker, run_id="run-1", windows_per_service=5).before(Partition(WINDOWS, 0), 21)
    assert [each.start_us // SIZE_US for each in past if each.service == "cart"] == [15, 16, 17, 18, 19]
    assert [each.start_us for each in past if each.service == "ad"] == [0]


@pytest.mark.parametrize("windows", [6_000, 30_000])
def test_taking_over_reads_no_more_of_a_long_log_than_of_a_short_one(
    system: System, monkeypatch: pytest.MonkeyPatch, windows: int
) -> None:
    system.publish(*(window(index // 2, 0.0, service=("ad", "cart")[index % 2]) for index in range(windows)))
    read: list[Message] = []
    consume = MemoryConsumer.consume

    def counted(self: MemoryConsumer, max_messages: int, timeout_s: float) -> list[Message]:
        found = consume(self, max_messages, timeout_s)
        read.extend(found)
        return found

    monkeypatch.setattr(MemoryConsumer, "consume", counted)
    past = History(system.broker, run_id="run-1").before(Partition(WINDOWS, 0), windows)
    assert len(read) == FIRST_LOOK_BACK
    last = windows // 2
    for service in ("ad", "cart"):
        starts = [each.start_us // SIZE_US for each in past if each.service == service]
        assert starts == list(range(last - 500, last))


def test_taking_over_reads_further_back_until_it_has_what_is_remembered(system: System) -> None:
    services = [f"s{number}" for number in range(20)]
    system.publish(*(window(index, 0.0, service=name) for index in range(600) for name in services))
    past = History(system.broker, run_id="run-1").before(Partition(WINDOWS, 0), 600 * 20)
    assert len(past) == 500 * 20


def test_the_past_of_an_earlier_run_is_not_searched_for(system: System) -> None:
    system.publish(*(window(index, 0.0, run_id="run-0") for index in range(20)), window(90, 0.0))
    past = History(system.broker, run_id="run-1").before(Partition(WINDOWS, 0), 21)
    assert [each.run_id for each in past] == ["run-1"]


def test_where_the_log_begins_there_is_no_past_to_ask_the_broker_for() -> None:
    without_topics = MemoryBroker()
    assert History(without_topics, run_id="run-1").before(Partition(WINDOWS, 0), 0) == []


def test_the_past_ends_before_the_offset_and_bears_what_can_not_be_read(system: System) -> None:
    system.publish(window(0, 0.0))
    system.raw(b"cart", b"garbage")
    system.publish(window(1, 0.0), window(2, 0.0))
    past = History(system.broker, run_id="run-1").before(Partition(WINDOWS, 0), 3)
    assert [each.start_us // SIZE_US for each in past] == [0, 1]


def test_the_detector_loads_nothing_that_knows_labels() -> None:
    code = "import sys, services.detector.service; print('microservo.domain.labels' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _straight(count: int) -> list[tuple[str, int, str]]:
    """What a detector says that is never interrupted."""
    detector, out = NSigma(), []
    for index in range(count):
        x = {"cpu": float(index % 3)}
        out.append(("cart", index * SIZE_US, repr(detector.score_one(x))))
        detector.learn_one(x)
    return out
