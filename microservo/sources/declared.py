"""The sources that a run declares: read from a TOML file or `KIND=ADDRESS`, and made where they run.

::

    [[source]]
    kind = "prometheus"
    url = "http://prometheus:9090"
    scrape_s = 15
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from microservo.errors import InvalidInput
from microservo.sources.elasticsearch.settings import ElasticsearchSettings
from microservo.sources.kafka.settings import KafkaSettings
from microservo.sources.prometheus.settings import PrometheusSettings
from microservo.sources.remote_write.settings import RemoteWriteSettings
from microservo.sources.settings import Declared
from microservo.sources.source import Source
from microservo.sources.tailed import Cursors

T = TypeVar("T")
AnySource = Annotated[
    PrometheusSettings | RemoteWriteSettings | ElasticsearchSettings | KafkaSettings,
    Field(discriminator="kind"),
]
_ADDRESS = {"prometheus": "url", "elasticsearch": "url", "kafka": "bootstrap_servers", "remote-write": "port"}
"""What the address of a source is called, by its kind."""
_ADAPTER: TypeAdapter[AnySource] = TypeAdapter(AnySource)
_PATHS = ("queries", "password_file", "token_file", "api_key_file", "ca_file")


class _SourcesFile(Declared):
    source: tuple[AnySource, ...]


def source_named(text: str) -> AnySource:
    """The source of `KIND=ADDRESS`, all else as it is by default.

    Raises:
        InvalidInput: there is no such kind, or it is no address.
    """
    kind, _, address = text.partition("=")
    if kind not in _ADDRESS or not address:
        msg = f"{text!r} is no source; write KIND=ADDRESS with a kind of {', '.join(_ADDRESS)}"
        raise InvalidInput(msg)
    return _checked(lambda: _ADAPTER.validate_python({"kind": kind, _ADDRESS[kind]: address}), repr(text))


def sources_in(path: Path) -> tuple[AnySource, ...]:
    """The sources of a TOML file; paths in it count from its folder.

    Raises:
        InvalidInput: it can't be read, or declares what there is not.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"sources of {path} can't be read: {error}; give a TOML file with [[source]] tables"
        raise InvalidInput(msg) from error
    for each in document.get("source", ()):
        for key in _PATHS:
            if isinstance(each, dict) and isinstance(each.get(key), str):
                each[key] = str(path.parent.absolute() / each[key])
    return _checked(lambda: _SourcesFile.model_validate(document), str(path)).source


def check_names(sources: Iterable[AnySource]) -> None:
    """Refuses sources of one name: each is a writer of its own.

    Raises:
        InvalidInput: two have one name.
    """
    seen: set[str] = set()
    for each in sources:
        if each.name in seen:
            msg = f"two sources are called {each.name!r}; give one of them another name"
            raise InvalidInput(msg)
        seen.add(each.name)


def write_source(source: AnySource, path: Path) -> None:
    """Writes a declaration down for the process that is to run it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_ADAPTER.dump_json(source))


def read_source(path: Path) -> AnySource:
    """A declaration that was written down.

    Raises:
        InvalidInput: it can't be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        msg = f"the source in {path} can't be read: {error.strerror}"
        raise InvalidInput(msg) from error
    return _checked(lambda: _ADAPTER.validate_json(raw), str(path))


def make_source(source: AnySource, clock: Callable[[], int], cursors: Cursors) -> Source:
    """A source as it was declared, not started.

    Raises:
        InvalidInput: something that it is to read does not fit.
        Unavailable: a library that it needs is not installed.
    """
    # Each brings a client of its own, and a process runs one source.
    if isinstance(source, ElasticsearchSettings):
        from microservo.sources.elasticsearch.tail import elasticsearch_source  # noqa: PLC0415

        return elasticsearch_source(source, clock, cursors)
    if isinstance(source, RemoteWriteSettings):
        from microservo.sources.remote_write.source import RemoteWriteSource  # noqa: PLC0415

        return RemoteWriteSource(source)
    if isinstance(source, KafkaSettings):
        from microservo.sources.kafka.tail import kafka_source  # noqa: PLC0415

        return kafka_source(source, clock, cursors)
    from microservo.sources.prometheus.tail import prometheus_source  # noqa: PLC0415

    return prometheus_source(source, clock, cursors)


def _checked(read: Callable[[], T], where: str) -> T:
    try:
        return read()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        msg = f"source {where} can't be used: {place or 'it'}: {first['msg']}"
        raise InvalidInput(msg) from error
