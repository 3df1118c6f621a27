"""A full disk is no trap: what is past retention leaves it all the same, and then there is room again."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Services, entry, until
from hard.stage import connected
from hard.trouble import troubled
from test_writer import HOUR_MS

from shared.errors import DiskFull
from shared.pidfile import pid_path, supervising
from shared.storage.reserve import Reserve
from shared.storage.writer import Writer
from shared.wire import Entry


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", place]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)  # a mount that stays would outlive the directory around it


def fill(place: Path) -> None:
    """Leave no room for anybody."""
    with contextlib.suppress(OSError), (place / "of-others").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def write(writer: Writer, number: int) -> None:
    """Ten entries of 2 KB."""
    data = '{"x":"' + "y" * 2_000 + '"}'
    batch = [Entry("MA", f"c{number}", 1.0 * place, "", "->", "REST", "/a", data) for place in range(10)]
    writer.write([batch], HOUR_MS)


def run_full(writer: Writer, place: Path) -> None:
    """Entries until there is no room for more, and then none for anybody."""
    with pytest.raises(DiskFull):
        for number in range(10_000):
            write(writer, number)
    fill(place)


@pytest.mark.parametrize("limit", [1_000, 7])
def test_deletions_make_room(place: Path, limit: int) -> None:
    """A disk that entries have filled: they can be deleted, their pages leave the file, and new ones come in."""
    with closing(Writer(place / "tracehub.db", HOUR_MS)) as writer:
        run_full(writer, place)
        before = writer.path.stat().st_size
        while writer.expire(writer.newest + 1, limit):
            pass
        while writer.give_back(8, 256):
            pass
        writer.checkpoint()
        assert writer.path.stat().st_size < before / 4
        write(writer, 10_000)


def test_no_page_is_spared_while_the_reserve_lacks_room(place: Path) -> None:
    """When half of the entries have gone, new ones come in again, whatever part of the file was to be kept for them."""
    with closing(Writer(place / "tracehub.db", HOUR_MS)) as writer:
        run_full(writer, place)
        while writer.expire(writer.newest // 2, 1_000):
            pass
        while writer.give_back(1, 256):
            pass
        write(writer, 10_000)


def test_the_reserve_is_for_deletions(place: Path) -> None:
    """While it is not whole no entry takes of it, though there would be room; when it is, entries come in again."""
    with closing(Writer(place / "tracehub.db", HOUR_MS)) as writer:
        write(writer, 0)
        fill(place)
        writer._reserve.let_go()
        (place / "of-others-too").write_bytes(bytes(500_000))
        for call in (lambda: write(writer, 1), writer.probe):
            with pytest.raises(DiskFull, match="kept for deletions"):
                call()
        assert writer.expire(2, 1) == 1
        (place / "of-others").unlink()
        write(writer, 1)
        assert writer.path.with_name("tracehub.db.reserve").stat().st_blocks * 512 == 2**20


def test_a_part_of_the_reserve_is_kept_at_the_end(place: Path) -> None:
    """A service that ends in the middle of deletions leaves room to begin again, though others take all the rest."""
    with closing(Writer(place / "tracehub.db", HOUR_MS)) as writer:
        run_full(writer, place)
        writer.expire(writer.newest + 1, 10)
        assert not writer._reserve.is_held
    fill(place)
    with closing(Writer(place / "tracehub.db", HOUR_MS)) as writer:
        while writer.expire(writer.newest + 1, 1_000):
            pass
        while writer.give_back(8, 256):
            pass
        write(writer, 10_000)


async def test_a_start_on_a_full_disk(place: Path, services: Services) -> None:
    """Both services start where not a byte is free, reading goes on, retention makes room, and writing goes on."""
    services.db = place / "tracehub.db"

    async def post() -> int:
        async with connected(services.ingest_port) as ingest:
            return (await ingest.post([entry(data={"x": "y" * 2_000}) for _ in range(10)])).status

    async def until_full() -> None:
        while (status := await post()) == 200:
            pass
        assert status == 507

    services.start("ingest_svc")
    await until_full()
    services.kill("ingest_svc")
    for leftover in ("tracehub.db-shm", "ingest_svc.log"):
        (place / leftover).unlink()
    fill(place)
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    await until_full()  # what the WAL had may be free now
    async with connected(services.query_port) as query:
        assert (await query.get("/traces/chain?limit=1")).status == 200
    services.kill("ingest_svc", signal.SIGTERM)
    fill(place)
    services.environ["TRACEHUB_RETENTION_HOURS"] = "0.0003"
    services.start("ingest_svc")

    async def is_stored() -> bool:
        return await post() == 200

    await until(is_stored)


def test_a_reserve_takes_half_of_too_little(place: Path) -> None:
    """What else is written at a start needs room as well; the rest is taken as soon as it is there."""
    reserve = Reserve(place / "tracehub.db")  # of 1 MB
    others = place / "of-others"

    def leave(free: int) -> None:
        others.unlink(missing_ok=True)
        others.write_bytes(bytes(shutil.disk_usage(place).free - free))

    leave(640 * 1024)
    for kept in (320, 480):
        reserve.take_some()
        assert not reserve.is_held
        assert (place / "tracehub.db.reserve").stat().st_size == kept * 1024
    leave(540 * 1024)
    with pytest.raises(DiskFull):
        reserve.take()
    leave(548 * 1024)
    reserve.take()
    assert reserve.is_held


def test_a_link_keeps_no_room(tmp_path: Path) -> None:
    """One in the place of the reserve makes way for it, and what it leads to stays as it is."""
    other, link = tmp_path / "other", tmp_path / "tracehub.db.reserve"
    other.write_bytes(b"mine")
    link.symlink_to(other)
    reserve = Reserve(tmp_path / "tracehub.db")
    reserve.take()
    assert not link.is_symlink() and link.stat().st_size > len(b"mine")
    assert other.read_bytes() == b"mine"


def test_who_wants_no_reserve_keeps_none(tmp_path: Path) -> None:
    """Also when it was let go."""
    reserve = Reserve(tmp_path / "tracehub.db", wanted=False)
    reserve.let_go()
    reserve.take()
    assert reserve.is_held
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fits", [1, 0])
def test_less_and_less_is_deleted_where_there_is_no_room(tmp_path: Path, fits: int) -> None:
    """Down to one entry, with the WAL folded in between; then it is given up."""
    reserve = Reserve(tmp_path / "tracehub.db")
    reserve.take()
    done: list[int | str] = []

    def delete(limit: int) -> int:
        done.append(limit)
        if limit > fits:
            raise DiskFull("no room")
        return limit

    with contextlib.nullcontext() if fits else pytest.raises(DiskFull):
        assert reserve.deleting(delete, 1_000, lambda: done.append("fold")) == fits
    assert done == [1_000, "fold", 125, "fold", 15, "fold", 1]
    assert not reserve.is_held


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="there is no C compiler")
async def test_a_quota_that_is_used_up_is_a_full_disk(place: Path) -> None:
    """Senders are told 507, and retention makes room."""
    with troubled() as (services, trouble):
        services.db = place / "tracehub.db"
        trouble.room_is_a_quota()
        services.start("ingest_svc")

        async def post() -> int:
            async with connected(services.ingest_port) as ingest:
                return (await ingest.post([entry(data={"x": "y" * 2_000}) for _ in range(10)])).status

        async def is_stored() -> bool:
            return await post() == 200

        while (status := await post()) == 200:
            pass
        assert status == 507
        services.kill("ingest_svc", signal.SIGTERM)
        services.environ["TRACEHUB_RETENTION_HOURS"] = "0.0003"
        services.start("ingest_svc")
        await until(is_stored)


@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_is_supervised(place: Path, there: bool) -> None:
    """A server starts on it, and says which process it is if one ever ran there."""
    path = place / "tracehub.db"
    if there:
        with supervising(path):
            pass
    fill(place)
    with supervising(path):
        assert pid_path(path).read_text().split() == ([str(os.getpid())] if there else [])


async def test_a_start_without_a_reserve(place: Path, services: Services) -> None:
    """Where there never was room the service starts, says so, and begins when there is."""
    services.db = place / "tracehub.db"
    (place / "ingest_svc.log").touch()
    fill(place)
    services.start("ingest_svc")
    async with connected(services.ingest_port) as ingest:
        assert (await ingest.post([entry()])).status == 503
        (place / "of-others").unlink()

        async def is_stored() -> bool:
            return (await ingest.post([entry()])).status == 200

        await until(is_stored)
