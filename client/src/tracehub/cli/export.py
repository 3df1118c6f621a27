"""`tracehub export`: entries as NDJSON, one a line, as the server took them; `tracehub import` reads it back."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import click

from tracehub.cli.command import command, complete_id
from tracehub.cli.hub import Hub
from tracehub.cli.private_file import in_place_of
from tracehub.cli.progress import Progress
from tracehub.cli.words import in_ascii, several

PAGE = 1000  # entries of one answer


@command(
    "export",
    short_help="Entries as NDJSON.",
    examples=[
        "{} req-12345 > req-12345.ndjson",
        "{} --all -o monday.ndjson.gz",
        "{} --all | jq -c 'select(.source_id == \"WK\")'",
        "{} --all | tracehub import --url http://two:8099 -",
    ],
)
@click.argument("correlation_id", metavar="[ID]", required=False, shell_complete=complete_id)
@click.option("--all", "everything", is_flag=True, help="All entries, in the order in which they were stored.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file of mode 0600; .gz compresses, - is standard output.",
)
def export_command(hub: Hub, correlation_id: str | None, everything: bool, output: Path | None) -> int:
    """Write the entries of one chain, or all, as NDJSON, to standard output or into a file."""
    if (correlation_id is None) == (not everything):
        raise click.UsageError("give an ID or --all")
    if str(output) == "-":
        output = None
    if correlation_id is not None:
        _, texts = hub.reader.chain(correlation_id)
        if not texts:
            hub.screen.remark(f"no entries for {correlation_id} at {hub.reading}")
            return 1
        count = _write(texts, output)
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


def _all(hub: Hub, newest: int, progress: Progress) -> Iterator[str]:
    """All entries up to the newest when this began, so that it ends however fast they come."""
    last = 0
    while last < newest:
        page = hub.reader.recent({"since_id": last, "limit": PAGE})
        if not page:
            return
        yield from (text for id, text in page if id <= newest)
        last, _ = page[-1]
        progress.advance(len(page), entries=len(page))


def _write(texts: Iterable[str], output: Path | None) -> int:
    count = 0
    if output is None:
        for text in texts:
            sys.stdout.write(in_ascii(text) + "\n")
            count += 1
        sys.stdout.flush()
        return count
    with in_place_of(output) as raw:
        file: IO[bytes] = gzip.GzipFile(fileobj=raw, mode="wb") if output.suffix == ".gz" else raw  # type: ignore[assignment]
        for text in texts:
            file.write(text.encode() + b"\n")
            count += 1
        if file is not raw:
            file.close()
    return count
