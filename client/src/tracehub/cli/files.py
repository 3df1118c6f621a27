"""Entries in files: NDJSON, or JSON as one value; plain or gzip. A line that is an entry is passed on as it is."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import json
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Callable, NamedTuple

from tracehub.cli.verbatim import elements, within
from tracehub.cli.words import plainly
from tracehub.following import parsed

BATCH_ENTRIES = 500
BATCH_BYTES = 1_000_000
GZIP = b"\x1f\x8b"


class Line(NamedTuple):
    """One entry as JSON, and where it is from: `file:line`."""

    text: bytes
    place: str


class Source:
    """Files, one after the other. `total` is their size in bytes, None where that is not known."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._files = files
        states = [file.stat() if str(file) != "-" else os.fstat(_standard_input().fileno()) for file in files]
        regular = all(stat.S_ISREG(state.st_mode) for state in states)
        self.total: float | None = sum(state.st_size for state in states) if regular else None
        self._current: IO[bytes] | None = None
        self._done = 0
        self._told = 0

    def advanced(self) -> int:
        """Bytes read since this was asked last."""
        current = self._current
        now = self._done + (current.tell() if current is not None and current.seekable() else 0)
        by, self._told = now - self._told, now
        return by

    def lines(self, on_bad: Callable[[str], None] | None) -> Iterator[Line]:
        """The entries of all files. What is none goes to `on_bad` or, without it, is raised as ValueError."""
        for file in self._files:  # one open at a time: there may be more than a process may have open
            self._current = raw = _standard_input() if str(file) == "-" else file.open("rb")
            try:
                yield from _entries(_unpacked(raw), str(file), on_bad)
            except (EOFError, OSError, zlib.error) as error:  # gzip that is cut off or damaged
                raise ValueError(f"{file}: {plainly(error)}") from error
            self._done += raw.tell() if raw.seekable() else 0
            self._current = None
            raw.close()


def batches(source: Source, on_bad: Callable[[str], None] | None) -> Iterator[list[Line]]:
    """Lines in groups that one request takes."""
    batch: list[Line] = []
    held = 0
    for line in source.lines(on_bad):
        if batch and (len(batch) >= BATCH_ENTRIES or held + len(line.text) > BATCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(line)
        held += len(line.text)
    if batch:
        yield batch


def _standard_input() -> IO[bytes]:
    if sys.stdin is None:
        raise OSError(errno.EBADF, "the shell has closed it", "standard input")
    return sys.stdin.buffer


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw)  # type: ignore[type-var]
    packed = buffered.peek(2)[:2] == GZIP
    return gzip.GzipFile(fileobj=buffered) if packed else buffered  # type: ignore[return-value]


def _entries(stream: IO[bytes], name: str, on_bad: Callable[[str], None] | None, start: int = 1) -> Iterator[Line]:
    is_first = start == 1
    for number, raw in enumerate(stream, start):
        text = raw.removeprefix(codecs.BOM_UTF8).strip() if is_first else raw.strip()
        if not text:
            continue
        try:
            value = parsed(text)
        except (ValueError, RecursionError) as error:
            rest = stream.read() if is_first and text[:1] in b"[{" else b""
            if rest and not _are_lines(text, rest):
                yield from _whole(text + b"\n" + rest, name)
                return
            _complain(f"{name}:{number}: no JSON ({error})", on_bad)
            if rest:
                yield from _entries(io.BytesIO(rest), name, on_bad, number + 1)
        else:
            yield from _within(value, text, f"{name}:{number}", on_bad)
        is_first = False


def _are_lines(first: bytes, rest: bytes) -> bool:
    """Whether what begins with a line that is no JSON is NDJSON all the same, and not one value over several lines."""
    return _is_json(rest.lstrip().split(b"\n", 1)[0]) and not _is_json(first + b"\n" + rest)


def _is_json(text: bytes) -> bool:
    try:
        parsed(text)
    except (ValueError, RecursionError):
        return False
    return True


def _whole(text: bytes, name: str) -> Iterator[Line]:
    try:
        value = parsed(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: no JSON ({error})") from error
    yield from _within(value, text, name, None)


def _within(value: Any, text: bytes, place: str, on_bad: Callable[[str], None] | None) -> Iterator[Line]:
    """The entries of a value: an entry, a list of them, or an object with `traces`."""
    is_answer = isinstance(value, dict) and isinstance(value.get("traces"), list)
    entries = value["traces"] if is_answer else value
    if isinstance(entries, dict):
        yield Line(text, place)
    elif isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
        letters = text.decode(json.detect_encoding(text), "surrogatepass")
        texts, _ = elements(letters, within(letters, "traces") if is_answer else letters.index("[") + 1)
        for number, entry in enumerate(texts):
            yield Line(entry.encode(errors="surrogatepass"), f"{place}[{number}]")
    else:
        _complain(f"{place}: no entry", on_bad)


def _complain(problem: str, on_bad: Callable[[str], None] | None) -> None:
    if on_bad is None:
        raise ValueError(problem)
    on_bad(problem)
