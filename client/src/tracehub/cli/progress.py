"""A bar with rate and remaining time on standard error; nothing where that is no terminal."""

from __future__ import annotations

import time
from types import TracebackType

from rich import progress as bars
from rich.text import Text

from tracehub.cli.screen import Screen
from tracehub.cli.words import clean


class Progress:
    """One bar. `total` is what `advance` adds up to, None if nobody knows; `entries` are counted beside it."""

    def __init__(self, screen: Screen, text: str, total: float | None) -> None:
        self._began = time.monotonic()
        self._entries = 0
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=None),
            bars.TaskProgressColumn(),
            bars.TextColumn("{task.fields[told]}", markup=False),
            bars.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=screen.err,
            transient=True,
            expand=True,
            disable=not screen.err.is_terminal,
        )
        self._task = self._bar.add_task(clean(text), total=total, told="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def advance(self, by: float, entries: int) -> None:
        """So much more is done."""
        self._entries += entries
        rate = self._entries / max(self.seconds, 0.001)
        self._bar.update(self._task, advance=by, told=f"{self._entries:,} entries  {rate:,.0f}/s")

    def say(self, text: str) -> None:
        """A remark beside the bar."""
        self._bar.console.print(Text(clean(text), "yellow"), soft_wrap=True)
