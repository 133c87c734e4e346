from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import ClassVar

import pytest

from microservo.domain.faults import kinds, registry
from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.catalogue import KINDS
from microservo.errors import InvalidInput

EXTENSION = """
from dataclasses import dataclass
from microservo.domain.faults.base import Contract, Fault
from microservo.domain.faults.registry import register

@register
@dataclass(frozen=True, slots=True, kw_only=True)
class Nap(Fault):
    '''It sleeps.'''
    kind = "a-nap"
    mechanisms = ("process",)
    severity = 1.0
    def contract(self):
        return Contract()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Impostor(Fault):
    """Another one of a known name."""

    kind: ClassVar[str] = "noop"
    mechanisms: ClassVar[tuple[str, ...]] = ("none",)

    @property
    def severity(self) -> float:
        return 0.0

    def contract(self) -> Contract:
        return Contract()


def test_kinds_come_in_order_of_their_names() -> None:
    assert list(KINDS) == sorted(KINDS)
    assert all(kind.kind == name for name, kind in KINDS.items())


def test_a_kind_whose_name_is_taken_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'noop' of .* is registered by .*kinds\.noop already"):
        registry.register(Impostor)


def test_another_distribution_adds_kinds_and_one_that_is_broken_takes_none_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "an_extension.py").write_text(EXTENSION)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    added = [EntryPoint(name, name, registry.GROUP) for name in ("no_such", "an_extension")]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(added).select(group=group))
    found = registry.registered_kinds(kinds)
    assert set(found) == {*KINDS, "a-nap"}
    assert next(iter(found)) == "a-nap"
    assert "the faults of no_such are left out" in caplog.text
    del sys.modules["an_extension"]
