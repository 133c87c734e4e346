"""Progress on a terminal as a live line with a spinner and a bar; elsewhere as plain lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from microservo.cli.output import safe_text
from microservo.cli.text import Part, styled

_REFRESH_PER_S = 8


class TerminalProgress:
    """Shows stages one after another; each leaves a line with what came of it and how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[TerminalStage]:
        """A stage that lasts as long as the context."""
        stage = TerminalStage(title, self._console.encoding)
        begin_s = time.monotonic()
        try:
            with self._shown(stage):
                yield stage
        except BaseException:
            self._print(styled(self._mark("✗", "x"), fg="red"), f" {title}  ", styled("not done", fg="red"))
            raise
        took = styled(f"{time.monotonic() - begin_s:.1f} s", dim=True)
        text = f"  {stage.text}" if stage.text else ""
        self._print(styled(self._mark("✓", "+"), fg="green"), f" {title}{text}  ", took)

    def note(self, text: str) -> None:
        """A line of its own, above the stage that goes on."""
        self._print(styled("!", fg="yellow"), f" {text}")

    def _shown(self, stage: TerminalStage) -> contextlib.AbstractContextManager[object]:
        if self._console.is_terminal:
            return Live(
                get_renderable=stage.render,
                console=self._console,
                transient=True,
                refresh_per_second=_REFRESH_PER_S,
            )
        self._print(f"  {stage.title} ...")
        return contextlib.nullcontext()

    def _print(self, *parts: Part) -> None:
        encoding = self._console.encoding
        self._console.print(Text.assemble(*(safe_text(part, encoding) for part in parts)), soft_wrap=True)

    def _mark(self, mark: str, in_ascii: str) -> str:
        return mark if self._console.encoding.startswith("utf") else in_ascii


class TerminalStage:
    """One stage: a title, how much is done, and what it is at."""

    def __init__(self, title: str, encoding: str = "utf-8") -> None:
        self.title = title
        self._encoding = encoding
        self.text = ""
        self._bar = ProgressBar(total=None, width=24)
        self._spinner = Spinner("dots" if encoding.startswith("utf") else "line")
        self._measured = False

    def advance(self, done: float, total: float) -> None:
        """So much of it is done."""
        self._measured = total > 0
        self._bar.update(completed=done, total=total)

    def show(self, text: str) -> None:
        """What it is at now; at the end, what came of it."""
        self.text = text

    def render(self) -> Table:
        """The live line."""
        line = Table.grid(padding=(0, 1))
        bar = [self._bar] if self._measured else []
        title, text = (safe_text(part, self._encoding) for part in (self.title, styled(self.text, dim=True)))
        line.add_row(self._spinner, title, *bar, text)
        return line
