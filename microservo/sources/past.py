"""A past range of stores, declared: which minutes of which sources one run is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from microservo.domain.completeness import MINUTE_US
from microservo.errors import InvalidInput
from microservo.sources.declared import AnySource
from microservo.sources.elasticsearch.settings import ElasticsearchSettings
from microservo.sources.prometheus.settings import PrometheusSettings
from microservo.sources.recorded.settings import RecordedSettings
from microservo.sources.settings import Declared
from microservo.sources.stored import Store

AGAIN_US = 2 * MINUTE_US
"""How far one that goes on reads again: rates need the sample before, and some spans end a minute later."""
FINAL_CUT_US = AGAIN_US + 2 * MINUTE_US
"""What is read again is known to be the same, and not dropped as too late."""

StoreSettings = PrometheusSettings | ElasticsearchSettings | RecordedSettings


class PastRange(Declared):
    """Whole minutes of some sources that keep the past.

    Attributes:
        from_us: microseconds UTC, a multiple of a minute.
        until_us: as above.
        speed: seconds of the range that pass in a second at most; as fast as it goes where None.
    """

    from_us: int
    until_us: int
    speed: Annotated[float | None, Field(gt=0)] = None
    source: tuple[Annotated[StoreSettings, Field(discriminator="kind")], ...]

    @property
    def minutes_us(self) -> range:
        """When each minute begins."""
        return range(self.from_us, self.until_us, MINUTE_US)


def past_range(sources: Iterable[AnySource], from_us: int, until_us: int, now_us: int) -> PastRange:
    """The range in whole minutes that holds both instants.

    Raises:
        InvalidInput: there is no source, one keeps no past, or the range is none or not over yet.
    """
    stores = tuple(map(_store_settings, sources))
    if not stores:
        msg = "no source is given; add --source KIND=ADDRESS or --sources FILE.toml"
        raise InvalidInput(msg)
    begin_us, end_us = from_us // MINUTE_US * MINUTE_US, -(-until_us // MINUTE_US) * MINUTE_US
    if begin_us >= end_us or from_us >= until_us:
        msg = f"the range ends {(from_us - until_us) / 1e6:g} s before it begins; give --to after --from"
        raise InvalidInput(msg)
    # How complete a minute is shows in the one after it.
    complete_us = end_us + MINUTE_US + round(max(map(_lag_s, stores)) * 1e6)
    if complete_us > now_us:
        msg = f"the stores have all of the range in {(complete_us - now_us) / 1e6:.0f} s only; end it earlier"
        raise InvalidInput(msg)
    return PastRange(from_us=begin_us, until_us=end_us, source=stores)


def write_range(past: PastRange, path: Path) -> None:
    """Writes a declaration down for the process that is to read it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(past.model_dump_json(), "utf-8")


def read_range(path: Path) -> PastRange:
    """A declaration that was written down.

    Raises:
        InvalidInput: it can't be read.
    """
    try:
        return PastRange.model_validate_json(path.read_bytes())
    except OSError as error:
        msg = f"the range in {path} can't be read: {error.strerror}"
        raise InvalidInput(msg) from error
    except ValidationError as error:
        msg = f"the range in {path} can't be used: {error.errors()[0]['msg']}"
        raise InvalidInput(msg) from error


def make_store(settings: StoreSettings, clock: Callable[[], int]) -> Store:
    """What reads a source's past.

    Raises:
        InvalidInput: something that it is to read does not fit.
        Unavailable: a library that it needs is not installed.
    """
    # Each brings a client of its own.
    if isinstance(settings, ElasticsearchSettings):
        from microservo.sources.elasticsearch.tail import ElasticsearchTail  # noqa: PLC0415

        return ElasticsearchTail(settings, clock)
    if isinstance(settings, RecordedSettings):
        from microservo.sources.recorded.store import RecordedStore  # noqa: PLC0415

        return RecordedStore(settings)
    from microservo.sources.prometheus.tail import PrometheusTail  # noqa: PLC0415

    return PrometheusTail(settings, clock)


def _store_settings(source: AnySource) -> StoreSettings:
    if not isinstance(source, StoreSettings):
        msg = f"source {source.name!r} is of kind {source.kind}, which keeps no past; leave it out"
        raise InvalidInput(msg)
    return source


def _lag_s(settings: StoreSettings) -> float:
    if isinstance(settings, RecordedSettings):
        return 0.0
    return settings.complete_after_s if isinstance(settings, PrometheusSettings) else settings.lag_s
