"""Progress on a terminal as a live line with a spinner and a bar; elsewhere as plain lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table

_REFRESH_PER_S = 8


class TerminalProgress:
    """Shows stages one after another; each leaves a line with what came of it and how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def stage(self, title: str) -> Iterator[TerminalStage]:
        """A stage that lasts as long as the context."""
        stage = TerminalStage(title)
        begin_s = time.monotonic()
        try:
            with self._shown(stage):
                yield stage
        except BaseException:
            self._console.print(f"[red]✗[/] {escape(title)}  [red]not done[/]")
            raise
        took = f"[dim]{time.monotonic() - begin_s:.1f} s[/]"
        text = f"  {escape(stage.text)}" if stage.text else ""
        self._console.print(f"[green]✓[/] {escape(title)}{text}  {took}")

    def note(self, text: str) -> None:
        """A line of its own, above the stage that goes on."""
        self._console.print(f"[yellow]![/] {escape(text)}")

    def _shown(self, stage: TerminalStage) -> contextlib.AbstractContextManager[object]:
        if self._console.is_terminal:
            return Live(
                get_renderable=stage.render,
                console=self._console,
                transient=True,
                refresh_per_second=_REFRESH_PER_S,
            )
        self._console.print(f"  {escape(stage.title)} ...")
        return contextlib.nullcontext()


class TerminalStage:
    """One stage: a title, how much is done, and what it is at."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.text = ""
        self._bar = ProgressBar(total=None, width=24)
        self._spinner = Spinner("dots")
        self._measured = False

    def advance(self, done: float, total: float) -> None:
        """So much of it is done."""
        self._measured = total > 0
        self._bar.update(completed=done, total=total)

    def tell(self, text: str) -> None:
        """What it is at now; at the end, what came of it."""
        self.text = text

    def render(self) -> Table:
        """The live line."""
        line = Table.grid(padding=(0, 1))
        bar = [self._bar] if self._measured else []
        line.add_row(self._spinner, escape(self.title), *bar, f"[dim]{escape(self.text)}[/]")
        return line
