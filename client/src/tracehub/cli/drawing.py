"""A chain drawn: one column per source, in which a step begins with the source's tag and lasts as long as its line.

+offset    took  F P C  step
     0   188ms   F      RPC Frontend/Recv
 0.16ms   4.1ms  F        RPC ProductCatalog/GetProduct
 0.96ms   2.6ms  │ P        RPC ProductCatalog/GetProduct
"""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Sequence

from rich.cells import chop_cells
from rich.text import Text

from tracehub.cli.clocks import Difference
from tracehub.cli.timeline import Row, Step
from tracehub.cli.words import age, clean, clock, duration, several, shown_json

COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta", "bright_blue")
NAME_COLUMNS = 34  # that are kept for the step's name before columns of sources are
NUMBERS = 20  # columns of offset and duration, with what separates them
BAR = 30  # columns of the bar at the right
WIDE = 116  # columns from which there is room for it
OPEN_SHOWN, SLOWEST_SHOWN, CLOCKS_SHOWN = 8, 3, 3  # below the chain
LETTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits


class Lanes:
    """The columns: a tag for each source, in the order in which they appear."""

    def __init__(self, steps: Sequence[Step], width: int) -> None:
        self.sources = list(dict.fromkeys(step.source for step in steps))
        tags = _tags(self.sources)
        widest = max((len(tag) for tag in tags), default=1)
        room = width - NUMBERS - NAME_COLUMNS
        self.pitch = widest + 1 if len(tags) * (widest + 1) <= room else 1
        self.are_drawn = bool(tags) and widest <= self.pitch and len(tags) * self.pitch <= max(room, width // 3)
        self.tags = dict(zip(self.sources, tags))
        self.styles = {source: COLOURS[at % len(COLOURS)] for at, source in enumerate(self.sources)}
        self._lasts: dict[str, list[Step]] = {source: [] for source in self.sources}

    @property
    def width(self) -> int:
        """Columns of all, with a space behind."""
        return len(self.sources) * self.pitch + 1 if self.are_drawn else 0

    def heading(self) -> Text:
        """The tags above their columns."""
        line = Text()
        for source in self.sources if self.are_drawn else ():
            line.append(self.tags[source].ljust(self.pitch), f"bold {self.styles[source]}")
        return line.append(" ") if self.are_drawn else line

    def at(self, row: Row) -> Text:
        """The columns beside a row. To be called for one row after the other."""
        line = Text()
        for source in self.sources if self.are_drawn else ():
            lasting = self._lasts[source]
            if lasting:
                self._lasts[source] = lasting = [step for step in lasting if step.ends > row.first.begins]
            mark, style = (" ", "")
            if source == row.first.source:
                mark, style = self.tags[source], f"bold {self.styles[source]}"
                lasting.extend(row.steps)
            elif lasting:
                hangs = any(step.is_open for step in lasting)
                mark, style = ("┊", "bold red") if hangs else ("│", self.styles[source])
            line.append(mark.ljust(self.pitch), style)
        return line.append(" ") if self.are_drawn else line


def heading(lanes: Lanes) -> Text:
    """The line above the rows."""
    return Text.assemble(("   offset     took  ", "dim"), lanes.heading(), ("step", "dim"))


def legend(lanes: Lanes, steps: Sequence[Step], width: int) -> Iterator[Text]:
    """Which tag is which source, as many on a line as fit."""
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.source] = counts.get(step.source, 0) + 1
    line = Text()
    for source in lanes.sources:
        tag, name = lanes.tags[source], clean(source)
        part = Text.assemble(
            (tag, f"bold {lanes.styles[source]}"), " " if tag != name else "", name if tag != name else ""
        )
        part.append(f" {counts[source]}", "dim")
        if line and line.cell_len + part.cell_len + 3 > width:
            yield line
            line = Text()
        line.append("   " if line else "").append_text(part)
    yield line


def drawn(rows: Sequence[Row], lanes: Lanes, width: int, verbose: bool = False) -> Iterator[Text]:
    """The rows; with `verbose` each step's data below it."""
    if not rows:
        return
    start = min(row.first.start_ms for row in rows)
    span = max((step.start_ms + (step.took_ms or 0.0) for row in rows for step in row.steps), default=start) - start
    bar = BAR if width >= WIDE else 0
    room = width - NUMBERS - lanes.width - (bar + 1 if bar else 0)
    for row in rows:
        line = Text(f"{duration(row.first.start_ms - start):>9} ")
        line.append_text(_took(row)).append("  ").append_text(lanes.at(row))
        line.append_text(_name(row, lanes, room))
        if bar:
            line.pad_right(width - bar - line.cell_len)
            line.append_text(_bar(row, start, span, bar, lanes))
        line.rstrip()
        yield line
        if verbose:
            yield from _details(row, width)


def _took(row: Row) -> Text:
    step = row.first
    if step.entry is None:
        return Text(f"{'no entry':>8}", "yellow")
    if step.is_open:
        return Text(f"{'open':>8}", "bold red")
    total = sum(step.took_ms or 0.0 for step in row.steps)
    return Text(f"{duration(total):>8}", "red" if step.trouble else "")


def _name(row: Row, lanes: Lanes, room: int) -> Text:
    step = row.first
    text = Text(" " * min(step.depth * (2 if room >= 60 else 1), room // 3))
    if not lanes.are_drawn:
        text.append(f"{clean(step.source)} ", lanes.styles[step.source])
    ends = Text(f" x{len(row.steps)}", "bold") if len(row.steps) > 1 else Text()
    if step.entry is not None and step.is_open:
        ends.append(f"  {age(step.start_ms)}", "bold red")
    if step.trouble:
        ends.append(f"  {clean(step.trouble)}", "red")
        ends.truncate(max(12, room // 2), overflow="ellipsis")
    name = Text(clean(step.name), "bold red" if step.entry and step.is_open else "red" if step.trouble else "")
    _shorten(name, max(8, room - text.cell_len - ends.cell_len))
    text.append_text(name).append_text(ends).truncate(max(6, room), overflow="ellipsis")
    return text


def _shorten(name: Text, room: int) -> None:
    """Cut out the middle: the end of a path says more than its middle."""
    over = name.cell_len - room
    if over <= 0:
        return
    plain = name.plain
    keep = max(2, room - 1)
    head = keep // 3
    name.plain = f"{plain[:head]}…{plain[len(plain) - (keep - head) :]}"
    name.truncate(room)


def _bar(row: Row, start: float, span: float, columns: int, lanes: Lanes) -> Text:
    step = row.first
    last = row.steps[-1]
    begin = _place(step.start_ms - start, span, columns)
    end = columns if step.is_open else _place(last.start_ms + (last.took_ms or 0.0) - start, span, columns)
    length = max(1, end - begin)
    begin = min(begin, columns - 1)
    if step.entry is not None and step.is_open:
        return Text(" " * begin).append("┄" * (columns - begin), "bold red")
    return Text(" " * begin).append("━" * min(length, columns - begin), lanes.styles[step.source])


def _place(ms: float, span: float, columns: int) -> int:
    return 0 if span <= 0 else max(0, min(columns, math.floor(ms / span * columns)))


def _details(row: Row, width: int) -> Iterator[Text]:
    for step in row.steps:
        for entry in (step.entry, step.exit):
            if entry is None:
                continue
            head = f"{' ' * NUMBERS}{entry['direction']} {clock(float(entry['timestamp']))}"
            line = Text(f"{head} {clean(entry.get('hostname') or '')}", "dim")
            if entry.get("data") is not None:
                line.append(" ").append(shown_json(entry["data"]), "default not dim")
            if entry.get("raw_line"):
                line.append(f"  raw: {clean(entry['raw_line'])}")
            yield from _folded(line, width)


def _folded(line: Text, width: int) -> Iterator[Text]:
    """A long line over several, all but the first indented."""
    first, rest = _cut(line, width)
    yield first
    while rest:
        part, rest = _cut(rest, max(8, width - NUMBERS - 3))
        yield Text(" " * (NUMBERS + 3)).append_text(part)


def _cut(line: Text, room: int) -> tuple[Text, Text]:
    """What fits into so many columns, of which a letter may take two, and the rest."""
    if line.cell_len <= room:
        return line, Text()
    first, rest = line.divide([len(chop_cells(line.plain[:room], room)[0])])
    return first, rest


def told_clocks(clocks: Sequence[Difference]) -> Iterator[Text]:
    """Whose clock differs from whose; what is drawn is as it was recorded."""
    for host, other, ms, late in clocks[:CLOCKS_SHOWN]:
        way, last = ("ahead of", other) if ms > 0 else ("behind", host)
        line = Text.assemble(("clock ", "bold yellow"), f"of {clean(host)} is about {duration(abs(ms))} {way} ")
        line.append(f"that of {clean(other)}, {f'or entries of {clean(last)} came late, ' if late else ''}")
        yield line.append("as far as this chain shows it")
    if len(clocks) > CLOCKS_SHOWN:
        yield Text(f"      and {several(len(clocks) - CLOCKS_SHOWN, 'more clock')} differ")


def open_steps(steps: Sequence[Step]) -> Iterator[Text]:
    """What has not ended: the innermost last, which is where it hangs."""
    hosts: dict[str, set[str]] = {}
    for step in steps:
        hosts.setdefault(step.source, set()).add(step.host)
    hanging = [step for step in steps if step.entry is not None and step.is_open]
    for step in hanging[-OPEN_SHOWN:]:
        on = f" on {clean(step.host)}" if len(hosts[step.source]) > 1 else ""
        yield Text.assemble(
            ("open  ", "bold red"),
            f"{clean(step.source)} -> {clean(step.name)}{on}  ",
            (f"since {clock(step.start_ms)}, {age(step.start_ms)}", "red"),
        )
    if len(hanging) > OPEN_SHOWN:
        more = several(len(hanging) - OPEN_SHOWN, "more open step", "more open steps")
        yield Text(f"      and {more} before these", "red")


def slowest(steps: Sequence[Step]) -> Text | None:
    """Where the time went: the steps that were the latest under way for longest."""
    closed = sorted((step for step in steps if step.own_ms), key=lambda step: -step.own_ms)[:SLOWEST_SHOWN]
    if len(steps) < 6 or not closed:
        return None
    line = Text("longest by themselves: ", "dim")
    for step in closed:
        line.append("" if step is closed[0] else ", ").append(duration(step.own_ms), "bold")
        line.append(f" {clean(step.source)} {clean(step.name)}")
    return line


def _tags(sources: Sequence[str]) -> list[str]:
    """The sources themselves where all are short, else one letter each, of their names where that is still free."""
    if all(len(source) <= 3 and clean(source) == source for source in sources) and len(sources) <= 12:
        return list(sources)
    if len(sources) > len(LETTERS):
        return list(sources)
    shared = _shared_start(sources)
    taken: set[str] = set()
    tags = []
    for source in sources:
        own = [letter for letter in source[shared:] if letter in LETTERS]
        choices = [letter.upper() for letter in own[:1]] + [letter.lower() for letter in own[:1]]
        choices += [letter.upper() for letter in own[1:]] + list(LETTERS)
        tag = next(letter for letter in choices if letter not in taken)
        taken.add(tag)
        tags.append(tag)
    return tags


def _shared_start(sources: Sequence[str]) -> int:
    """Length of the prefix, up to a dash, dot or underscore, that all sources share."""
    if len(sources) < 2:
        return 0
    shortest = min(sources, key=len)
    length = next((at for at in range(len(shortest)) if len({source[at] for source in sources}) > 1), len(shortest))
    return max(shortest.rfind(mark, 0, length) for mark in "-._") + 1
