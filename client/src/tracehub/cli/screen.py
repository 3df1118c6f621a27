"""Where output goes: data to standard output, remarks to standard error; colour and movement only on a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from tracehub.cli.words import as_json, clean, in_ascii

PIPE_WIDTH = 140  # columns where there is no terminal at all
LEAST_WIDTH = 40  # columns that are written also where there are fewer: a terminal folds them
PATIENCE_S = 1.0  # before a spinner shows that something is going on


class Screen:
    """Both outputs of one command. `json` is true for programs: then nothing but JSON goes to standard output."""

    def __init__(self, json: bool = False, no_color: bool = False) -> None:
        self.json = json
        self.out = _console(sys.stdout, no_color)
        self.err = _console(sys.stderr, no_color)

    @property
    def width(self) -> int:
        """Columns."""
        return self.out.width

    def show(self, *what: RenderableType) -> None:
        """Print for people. Texts must be clean. Where there is no terminal, lines end with their text."""
        if self.out.is_terminal:
            self.out.print(*what, sep="\n")
            return
        with self.out.capture() as shown:
            self.out.print(*what, sep="\n")
        lines = shown.get().removesuffix("\n").split("\n")
        self.out.file.write("".join(f"{line.rstrip(' ')}\n" for line in lines))
        self.out.file.flush()

    def line(self, text: Text | str) -> None:
        """One line at once, folded by the terminal and not by us: for a stream."""
        self.out.print(text, soft_wrap=True)
        self.out.file.flush()

    def data(self, value: Any) -> None:
        """Print for programs: indented on a terminal, on one line elsewhere."""
        sys.stdout.write(as_json(value, 2 if self.out.is_terminal else None) + "\n")

    def page(self, page: dict[str, Any], texts: list[str]) -> None:
        """Print a page for programs, with its entries to the letter: on a terminal each on a line."""
        if self.out.is_terminal:
            indent, empty, start, between, end = 2, '"traces": []', "\n    ", ",\n    ", "\n  "
        else:
            indent, empty, start, between, end = None, '"traces":[]', "", ",", ""
        told = f"{empty[:-1]}{start}{between.join(map(in_ascii, texts))}{end}]"
        sys.stdout.write(as_json(page, indent).replace(empty, told, 1) + "\n")

    def entry(self, id: str, text: str) -> None:
        """Print an entry of a stream for programs: its row id, and the rest to the letter."""
        sys.stdout.write(f'{{"id":{as_json(int(id) if id.isdigit() else id)},{in_ascii(text.strip())[1:]}\n')
        sys.stdout.flush()

    def remark(self, text: str, style: str = "") -> None:
        """A line beside the data."""
        self.err.print(Text(clean(text), style), soft_wrap=True)

    @contextlib.contextmanager
    def patience(self, text: str) -> Iterator[None]:
        """A spinner with `text` while the block lasts, once that is longer than a second."""
        if not self.err.is_terminal:
            yield
            return
        status = self.err.status(Text(clean(text)))
        timer = threading.Timer(PATIENCE_S, status.start)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            status.stop()


def _console(file: TextIO, no_color: bool) -> Console:
    is_seen = any(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr) if stream is not None)
    width = None if is_seen or os.environ.get("COLUMNS", "").strip("0") else PIPE_WIDTH
    plain = no_color or bool(os.environ.get("NO_COLOR"))
    console = Console(
        file=file,
        width=width,
        color_system=None if plain else "auto",
        highlight=False,
        markup=False,
        emoji=False,
    )
    if console.width < LEAST_WIDTH:
        console.width = LEAST_WIDTH
    return console
