"""What is declared of a Prometheus and of the queries that it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from microservo.sources.settings import Declared, SourceSettings

Of = Literal["pod", "host", "job", "istio-destination", "istio-source"]
"""Whom a result is about, by its labels: see `identity`."""
_MAX_CHARS = 4000
"""`custom_query_range` puts a query into the URL, and servers in front of Prometheus take 8 KB of one."""


class Query(Declared):
    """One thing that Prometheus is asked for; exactly one of `match`, `metric` and `expr`.

    Attributes:
        match: a selector; its samples are read as they were scraped, each once, with their own instants.
        metric: a selector that is summed over `by` at each step, only over series that were still scraped.
        expr: PromQL that is evaluated at each step; `$window` is four scrapes, `$fresh` two.
        name: name of the metric; needed for `expr`, else that of the selected one.
        type: a counter has a rate; auto asks Prometheus, and goes by the name where it does not know.
        by: labels that stay apart when a metric is summed.
        of: whom it is about.
        raw: whether a counter's value goes on, too, beside its rate.
    """

    match: str = Field(default="", max_length=_MAX_CHARS)
    metric: str = Field(default="", max_length=_MAX_CHARS)
    expr: str = Field(default="", max_length=_MAX_CHARS)
    name: str = ""
    type: Literal["auto", "gauge", "counter"] = "auto"
    by: tuple[str, ...] = ()
    of: Of = "job"
    raw: bool = True

    @model_validator(mode="after")
    def _is_one_thing(self) -> Query:
        given = [name for name in ("match", "metric", "expr") if getattr(self, name)]
        if len(given) != 1:
            msg = f"a query has one of match, metric and expr; this one has {', '.join(given) or 'none'}"
            raise ValueError(msg)
        if self.expr and not self.name:
            msg = f"expr {self.expr[:80]!r} needs a name for its result; add name = ..."
            raise ValueError(msg)
        if self.metric and self.type == "auto":
            msg = f"metric {self.metric[:80]!r} is summed, so say what it is: type = counter or gauge"
            raise ValueError(msg)
        return self


class PrometheusSettings(SourceSettings):
    """A Prometheus that is read.

    Attributes:
        url: where its API is, without `/api/v1`.
        scrape_s: seconds between two scrapes of what is asked for.
        step_s: seconds between two evaluations, on multiples of it; by default as often as it scrapes.
        lag_s: how long ago a sample must be to be there; by default a scrape and five seconds.
        kpis: groups of shipped queries.
        queries: a TOML file with the user's own, as `[[query]]`.
        query: the user's own.
        username, password_file, token_file, ca_file: how it is reached, where it asks for that.
        timeout_s: of one query.
    """

    kind: Literal["prometheus"] = "prometheus"
    name: str = Field(default="prometheus", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    url: str = Field(pattern=r"^https?://")
    scrape_s: Annotated[int, Field(ge=1, le=300)] = 15
    step_s: Annotated[int | None, Field(ge=1, le=60)] = None
    lag_s: Annotated[float | None, Field(ge=0, le=600)] = None
    kpis: tuple[Literal["containers", "kube-state", "istio", "node"], ...] = (
        "containers",
        "kube-state",
        "istio",
        "node",
    )
    queries: Path | None = None
    query: tuple[Query, ...] = ()
    username: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = Field(default=30.0, gt=0)

    @property
    def grid_s(self) -> int:
        """Seconds from one evaluation to the next."""
        return min(self.step_s or self.scrape_s, 60)

    @property
    def complete_after_s(self) -> float:
        """Seconds after which all samples of an instant are there."""
        return self.scrape_s + 5.0 if self.lag_s is None else self.lag_s
