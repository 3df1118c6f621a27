"""`tracehub import FILE...`: entries out of files into a TraceHub.

Sending again is harmless, so an import that broke off is resumed by running it again: what is there is counted as a
duplicate. A batch is sent again for as long as the server asks for patience.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Callable

import click
from rich.text import Text

from tracehub.answers import Fate, judge
from tracehub.cli.command import command
from tracehub.cli.files import Line, Source, batches
from tracehub.cli.hub import Hub
from tracehub.cli.progress import Progress
from tracehub.cli.reading import told
from tracehub.cli.words import clean, duration, several
from tracehub.connection import Answer, Connection
from tracehub.errors import TraceHubError, Unreachable

PATIENCE_S = 60.0  # of an import whose server is away or full
PAUSE_S = 0.5  # between attempts, unless the server asks for more


class BadEntry(TraceHubError):
    """The server refuses an entry for what it is."""


@command(
    "import",
    short_help="Store the entries of files.",
    examples=[
        "{} monday.ndjson.gz",
        "{} *.ndjson --url http://tracehub:8099",
        "curl -s other:8100/traces/req-1 | {} -",
        "{} doubtful.ndjson --skip-bad",
    ],
)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path, allow_dash=True),
)
@click.option("--skip-bad", is_flag=True, help="Skip invalid entries and count them; otherwise stop at the first.")
def import_command(hub: Hub, files: tuple[Path, ...], skip_bad: bool) -> int:
    """Store the entries of files: NDJSON or JSON (an entry, a list, {"traces": [...]}), plain or gzip.

    - is standard input. What is stored already is counted and left as it is: after an interruption run it again.
    """
    source = Source(files)
    load = Load(hub.sender(timeout_s=60.0), skip_bad)
    try:
        with Progress(hub.screen, "importing", source.total) as progress:
            load.say = progress.say
            for batch in batches(source, load.skip if skip_bad else None):
                load.store(batch)
                progress.advance(source.advanced(), entries=len(batch))
    except Unreachable as error:
        raise Unreachable(f"{error}{load.so_far()}") from error
    except (BadEntry, ValueError) as error:
        raise BadEntry(f"{error}{load.so_far()}") from error
    counts = {"files": len(files), **load.counts, "skipped": load.skipped, "seconds": round(progress.seconds, 2)}
    if hub.screen.json:
        hub.screen.data(counts)
    else:
        hub.screen.show(Text(clean(_summary(load, progress.seconds))))
    return 0


def _summary(load: Load, seconds: float) -> str:
    counts = load.counts
    rate = counts["accepted"] / max(seconds, 0.001)
    text = f"{counts['inserted']:,} of {several(counts['accepted'], 'entry', 'entries')} stored, "
    text += f"{counts['duplicates']:,} were there already"
    text += f", {load.skipped:,} skipped" if load.skipped else ""
    return f"{text}; {duration(seconds * 1000)}, {rate:,.0f} entries/s"


class Load:
    """What is sent, and what has become of it."""

    def __init__(self, connection: Connection, skip_bad: bool) -> None:
        self.counts = {"accepted": 0, "inserted": 0, "duplicates": 0}
        self.skipped = 0
        self.say: Callable[[str], object] = lambda _: None
        self._connection = connection
        self._skip_bad = skip_bad
        self._reached = False

    def so_far(self) -> str:
        """How to go on after a failure."""
        if not self._reached:
            return ""
        return f"; {self.counts['accepted']:,} entries are stored, run it again to go on"

    def skip(self, problem: str) -> None:
        """Leave out a line."""
        self.skipped += 1
        self.say(f"skipped: {problem}")

    def store(self, batch: list[Line]) -> None:
        """Send a batch until it is stored; an entry that is refused is skipped or raised as BadEntry."""
        while batch:
            batch = self._rest(batch)

    def _rest(self, batch: list[Line]) -> list[Line]:
        """Send a batch once; what is to be sent instead, where an entry is refused."""
        body = b'{"traces":[' + b",".join(line.text for line in batch) + b"]}"
        answer = self._answer(body)
        verdict = judge(answer)
        if verdict.fate is Fate.STORED:
            for name, count in json.loads(answer.body).items():
                self.counts[name] = self.counts.get(name, 0) + count
        elif verdict.fate is Fate.SPLIT and len(batch) > 1:
            self.store(batch[: len(batch) // 2])
            self.store(batch[len(batch) // 2 :])
        elif verdict.fate in (Fate.BAD, Fate.SPLIT):
            return self._refuse(batch, verdict.place, verdict.reason)
        else:
            told(answer)  # raises what the server says
            raise Unreachable("not the answer of a TraceHub")
        return []

    def _refuse(self, batch: list[Line], place: int | None, reason: str) -> list[Line]:
        if place is None and len(batch) > 1:
            for line in batch:
                self.store([line])
            return []
        line = batch[min(place or 0, len(batch) - 1)]
        problem = f"{line.place}: {reason}"
        if not self._skip_bad:
            raise BadEntry(problem)
        self.skip(problem)
        return [other for other in batch if other is not line]

    def _answer(self, body: bytes) -> Answer:
        """The answer to a batch, after as many attempts as there is patience for."""
        until = time.monotonic() + PATIENCE_S
        waits = False
        while True:
            try:
                answer = self._connection.ask("POST", "/ingest", body, {"Content-Type": "application/json"})
            except Unreachable:
                if not self._reached or time.monotonic() > until:
                    raise
                wait_s, why = PAUSE_S, "no answer"
            else:
                self._reached = True
                verdict = judge(answer)
                if verdict.fate is not Fate.AGAIN or time.monotonic() > until:
                    return answer
                wait_s, why = verdict.wait_s or PAUSE_S, verdict.reason
            if not waits:
                self.say(f"waiting: {why}")
            waits = True
            time.sleep(min(wait_s, max(0.0, until - time.monotonic())))
