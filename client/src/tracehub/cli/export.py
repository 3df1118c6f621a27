"""`tracehub export`: entries as NDJSON, one a line, as the server took them; `tracehub import` reads it back."""

from __future__ import annotations

import gzip
import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from tracehub.cli.command import command, complete_id
from tracehub.cli.hub import Hub
from tracehub.cli.progress import Progress
from tracehub.cli.words import as_json, several

Entry = dict[str, Any]
PAGE = 1000  # entries of one answer


@command(
    "export",
    short_help="Entries as NDJSON.",
    examples=[
        "{} req-12345 > req-12345.ndjson",
        "{} --all -o monday.ndjson.gz",
        "{} --all | jq -c 'select(.source_id == \"WK\")'",
        "{} --all --url http://one:8100 | tracehub import --url http://two:8099 -",
    ],
)
@click.argument("correlation_id", metavar="[ID]", required=False, shell_complete=complete_id)
@click.option("--all", "everything", is_flag=True, help="All entries, in the order in which they were stored.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Into a file of mode 0600; .gz compresses.",
)
def export_command(hub: Hub, correlation_id: str | None, everything: bool, output: Path | None) -> int:
    """Write the entries of one chain, or all, as NDJSON, to standard output or into a file."""
    if (correlation_id is None) == (not everything):
        raise click.UsageError("give an ID or --all")
    if correlation_id is not None:
        entries = hub.reader.get_traces(correlation_id)["traces"]
        if not entries:
            hub.screen.remark(f"no entry of {correlation_id} at {hub.reading}")
            return 1
        count = _write(entries, output)
    else:
        stats = hub.ask("/stats")
        with Progress(hub.screen, "exporting", stats["newest_id"] - stats["oldest_id"] + 1) as progress:
            count = _write(_all(hub, int(stats["newest_id"]), progress), output)
    if output is not None and hub.screen.json:
        hub.screen.data({"entries": count, "file": str(output)})
    else:
        hub.screen.remark(
            f"{several(count, 'entry', 'entries')} written" + (f" into {output}" if output else ""), "dim"
        )
    return 0


def _all(hub: Hub, newest: int, progress: Progress) -> Iterator[Entry]:
    """All entries up to the newest when this began, so that it ends however fast they come."""
    last = 0
    while last < newest:
        page = hub.reader.ask("/recent", {"since_id": last, "limit": PAGE})["traces"]
        if not page:
            return
        for entry in page:
            last = entry.pop("id")
            if last <= newest:
                yield entry
        progress.advance(len(page), entries=len(page))


def _write(entries: Iterable[Entry], output: Path | None) -> int:
    count = 0
    if output is None:
        for entry in entries:
            sys.stdout.write(as_json(entry) + "\n")
            count += 1
        sys.stdout.flush()
        return count
    with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
        if stat.S_ISREG(os.fstat(raw.fileno()).st_mode):  # one that was there keeps its mode
            os.fchmod(raw.fileno(), 0o600)
        file: IO[bytes] = gzip.GzipFile(fileobj=raw, mode="wb") if output.suffix == ".gz" else raw  # type: ignore[assignment]
        for entry in entries:
            file.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            count += 1
        if file is not raw:
            file.close()
    return count
