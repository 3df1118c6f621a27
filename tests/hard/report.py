"""What a row says of itself: how far it is, how often it tried, what it measured, how it ended."""

import contextlib
import json
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

HOLDS = "holds"
PAUSE_S = 10.0  # between progress lines where nobody watches a terminal


class NotHere(Exception):
    """This machine lacks what the trial needs; the message says what."""


class Scale(msgspec.Struct, frozen=True):
    """How long a trial may take."""

    short: bool = False
    hour: bool = False  # for the memory: sixty minutes instead of fifteen

    def of(self, short: Any, long: Any) -> Any:
        """One of the two."""
        return short if self.short else long


class Report(msgspec.Struct):
    """One row of the table."""

    name: str
    promise: str = ""
    how: str = ""
    often: str = ""
    result: str = ""  # holds, BROKEN, not tried
    reason: str = ""
    seconds: float = 0.0
    figures: dict[str, Any] = {}
    quiet: bool = False

    def progress(self, done: float, of: float, what: str) -> None:
        """Say how far it is: on a terminal in place, elsewhere now and then."""
        global _said_at
        now = time.monotonic()
        if self.quiet or (not sys.stderr.isatty() and now - _said_at < PAUSE_S):
            return
        _said_at = now
        line = f"{self.name}: {done:,.0f} of {of:,.0f} {what}"
        print(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, end="" if sys.stderr.isatty() else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def tried(self, count: int, what: str) -> None:
        """How often; several kinds of trial add up to one cell."""
        self.often = f"{self.often}, {count:,} {what}".removeprefix(", ")

    def figure(self, name: str, value: Any) -> None:
        """Something measured, its unit last in the name."""
        self.figures[name] = round(value, 2) if isinstance(value, float) else value


_said_at = 0.0


def table(reports: Iterable[Report]) -> str:
    """Promise, how tried, how often, result; the figures below."""
    lines = []
    for row in reports:
        lines.append(f"{row.name:<14} {row.result:<10} {row.often}  [{row.seconds:.0f} s]")
        figures = " · ".join(f"{name} {value:,}" if isinstance(value, int | float) else f"{name} {value}"
                             for name, value in row.figures.items())  # fmt: skip
        for text in (row.promise, f"Tried: {row.how}", figures, row.reason):
            lines += textwrap.wrap(text, 115, initial_indent=" " * 5, subsequent_indent=" " * 7) if text else []
    return "\n".join(lines)


def read(directory: Path) -> dict[str, Report]:
    """The rows of the report that was left there."""
    with contextlib.suppress(OSError):
        return {
            row.name: row for row in msgspec.json.decode((directory / "report.json").read_bytes(), type=list[Report])
        }
    return {}


def write(directory: Path, reports: list[Report]) -> None:
    """Leave the table as text and as JSON."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / "report.txt").write_text(table(reports) + "\n")
    (directory / "report.json").write_text(json.dumps(msgspec.to_builtins(reports), indent=2) + "\n")
