"""A power cut: what was not synced is gone, or torn."""

import itertools
import random
import shutil
from contextlib import closing
from pathlib import Path

from conftest import Services, entry

from hard.report import Report, Scale
from hard.stage import connected, started
from hard.trouble import Trouble, troubled
from hard.truth import is_whole, rows
from shared.storage.sqlite import companions
from shared.storage.writer import Writer

PROMISE = (
    "A power cut loses nothing that was acknowledged: the file holds all batches up to some point, each whole, and "
    "none after it"
)
HOW = (
    "Each acknowledgement must follow a sync. In copies, the WAL is cut at a random place and what follows is lost or "
    "torn in sectors; the writer opens each copy, the ingest process every 25th"
)
DAY_MS = 86_400_000
SECTOR = 512
Sent = list[tuple[int, list[str]]]  # of each batch: how long the WAL was when synced for it, and its suffixes


async def run(scale: Scale, report: Report) -> None:
    """Write, note what was synced, cut."""
    cuts = scale.of(25, 500)
    with troubled("ingest_svc") as (services, trouble):
        sent = await _write(services, trouble, scale.of(60, 300))
        services.kill("ingest_svc")
        wal = companions(services.db)[0].read_bytes()
        for number in range(cuts):
            report.progress(number, cuts, "cuts")
            place = _place(sent, len(wal))
            with started() as copy:
                shutil.copyfile(services.db, copy.db)
                companions(copy.db)[0].write_bytes(wal[:place] + _torn(wal[place:], number % 2 == 0))
                if number % 25 == 0:
                    copy.start("ingest_svc")
                    copy.kill("ingest_svc")
                with closing(Writer(copy.db, DAY_MS)):
                    pass
                _is_prefix(copy.db, sent, place)
    report.tried(cuts, "cuts")
    report.figure("batches", len(sent))
    report.figure("wal_bytes", len(wal))


async def _write(services: Services, trouble: Trouble, batches: int) -> Sent:
    """Send batches and note how far the WAL was synced when each was acknowledged."""
    sent: Sent = []
    async with connected(services.ingest_port) as connection:
        for number in range(batches):
            names = [f"{number}-{place}" for place in range(random.randrange(1, 30))]
            syncs = trouble.wal_syncs
            answer = await connection.post([entry(correlation_id=f"c{number % 7}", suffix=name) for name in names])
            assert answer.status == 200, answer
            assert trouble.wal_syncs > syncs, "a batch was acknowledged without a sync"
            sent.append((trouble.synced_wal_bytes, names))
    return sent


def _place(sent: Sent, end: int) -> int:
    """Where the WAL is cut: now anywhere, now shortly behind a sync, in what the next batch wrote."""
    if random.random() < 0.5:
        return random.randrange(end + 1)
    before, after = random.choice(list(itertools.pairwise(sent)))
    return random.randrange(before[0], after[0] + 1)


def _torn(rest: bytes, is_lost: bool) -> bytes:
    """What a power cut leaves of bytes that were not synced: nothing, or some sectors and zeros for the others."""
    if is_lost:
        return b""
    sectors = [rest[start : start + SECTOR] for start in range(0, len(rest), SECTOR)]
    return b"".join(sector if random.random() < 0.5 else bytes(len(sector)) for sector in sectors)


def _is_prefix(path: Path, sent: Sent, place: int) -> None:
    found = [suffix for (suffix,) in rows(path, "SELECT suffix FROM traces ORDER BY id")]
    names = [name for _, batch in sent for name in batch]
    assert found == names[: len(found)], f"cut at {place}: what is there is not a prefix"
    synced = sum(len(batch) for end, batch in sent if end <= place)
    assert len(found) >= synced, f"cut at {place}: {synced - len(found)} acknowledged entries are gone"
    boundaries = {0}
    for _, batch in sent:
        boundaries.add(max(boundaries) + len(batch))
    assert len(found) in boundaries, f"cut at {place}: part of a batch is there"
    if found:
        is_whole(path)
