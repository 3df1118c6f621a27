"""What keeps entries from being written is seen by whoever looks, and gone when it is over."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Services, entry, until
from hard.stage import connected
from test_reserve import fill, place  # noqa: F401  # what pytest finds by name here
from test_writer import HOUR_MS, checkpoint

from ingest_svc.keeper import Keeper
from shared.errors import DiskFull
from shared.storage.claim import Claim, holder, why_not_written
from shared.storage.writer import Writer


async def told(http: aiohttp.ClientSession, services: Services, path: str = "/stats") -> tuple[Any, str]:
    """Whether entries are taken in, in the words of the query service, and why not."""
    async with http.get(f"{services.query_url}{path}") as response:
        assert response.status == 200
        said = await response.json()
    return said["ingesting"], said.get("why_not") or ""


async def until_it_is_well(http: aiohttp.ClientSession, services: Services) -> None:
    """Wait until entries are taken in."""

    async def is_well() -> bool:
        return await told(http, services) == (True, "")

    await until(is_well)


@contextmanager
def without_writes(pid: int) -> Iterator[None]:
    """Whatever the process writes to a file fails."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@pytest.fixture
def both(services: Services) -> Services:
    """Both services, running."""
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    return services


@pytest.fixture
def cramped(place: Path, services: Services) -> Services:  # noqa: F811
    """Both services, running, where there is little room."""
    services.db = place / "tracehub.db"
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    return services


async def test_a_full_disk_is_seen_until_there_is_room(cramped: Services, http: aiohttp.ClientSession) -> None:
    """Stats and health of the query service say so and why, though nobody sends any more when there is room again."""
    async with connected(cramped.ingest_port) as ingest:
        assert (await ingest.post([entry()])).status == 200
        assert await told(http, cramped) == (True, "")
        fill(cramped.db.parent)
        while (await ingest.post([entry(data={"x": "y" * 2_000}) for _ in range(10)])).status == 200:
            pass
    for path in ("/stats", "/health"):
        ingesting, why_not = await told(http, cramped, path)
        assert ingesting is False
        assert f"no room left for {cramped.db}" in why_not
    cramped.db.with_name("of-others").unlink()

    await until_it_is_well(http, cramped)
    log = cramped.log("ingest_svc")
    assert (log.count("nothing is written: no room left"), log.count("entries are written")) == (1, 1)


async def test_a_start_on_a_full_disk_is_seen(cramped: Services, http: aiohttp.ClientSession) -> None:
    """Before anybody has sent anything, and where not even the lock file has room for a word."""
    cramped.kill("ingest_svc")
    for each in (".lock", ".reserve"):
        cramped.db.with_name(f"tracehub.db{each}").unlink()
    fill(cramped.db.parent)
    cramped.start("ingest_svc")

    async def is_full() -> bool:
        ingesting, why_not = await told(http, cramped)
        return ingesting is False and "no room left" in why_not

    await until(is_full)
    assert (found := holder(cramped.db)) is not None
    assert found.pid == "unknown"
    cramped.db.with_name("of-others").unlink()

    await until_it_is_well(http, cramped)
    assert (found := holder(cramped.db)) is not None
    assert found.pid == str(cramped.processes["ingest_svc"].pid)


async def test_a_writer_that_was_killed_leaves_nothing_behind(both: Services, http: aiohttp.ClientSession) -> None:
    """What it said last is not said of the next one, nor of none."""
    claim = Claim(both.db, os.getpid())
    both.kill("ingest_svc")
    claim.take()
    claim.tell("no room left")
    assert await told(http, both) == (False, "no room left")
    claim.release()
    assert await told(http, both) == (False, f"no ingest service has {both.db}")
    both.start("ingest_svc")
    assert await told(http, both) == (True, "")


async def test_a_disk_that_takes_nothing_is_seen(both: Services, http: aiohttp.ClientSession) -> None:
    """Not even why: the lock is let go, and taken again when the disk does."""
    async with connected(both.ingest_port) as ingest:
        with without_writes(both.writer_pid()):
            assert (await ingest.post([entry()])).status == 503

            async def nobody_has_it() -> bool:  # but for the moment of a try to take it again
                return await told(http, both) == (False, f"no ingest service has {both.db}")

            await until(nobody_has_it)

        await until_it_is_well(http, both)
        assert (await ingest.post([entry()])).status == 200


async def test_a_writer_that_is_replaced_is_not_missed(both: Services, http: aiohttp.ClientSession) -> None:
    """The next one has the file within a moment."""
    os.kill(both.writer_pid(), signal.SIGKILL)

    await until_it_is_well(http, both)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_the_lock_of_another_user_is_named(tmp_path: Path) -> None:
    """As nobody could take it, the system's reason says more than that nobody has."""
    lock = tmp_path / "tracehub.db.lock"
    lock.touch(mode=0o444)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    os.seteuid(65_534)
    try:
        assert why_not_written(tmp_path / "tracehub.db") == f"cannot write {lock}: Permission denied"
    finally:
        os.seteuid(0)


def test_what_was_written_is_acknowledged(tmp_path: Path) -> None:
    """Also where it cannot be told that writing works again: the lock is let go, and taken with the next entry."""
    path = tmp_path / "tracehub.db"
    keeper = Keeper(path, HOUR_MS)
    keeper.open(lambda _: None, lambda: True)
    with pytest.raises(DiskFull):
        keeper.write(fail)
    lock = tmp_path / "tracehub.db.lock"
    (handle,) = (int(each.name) for each in Path("/proc/self/fd").iterdir() if each.is_symlink() and leads(each, lock))
    unwritable = os.open(lock, os.O_RDONLY)
    os.dup2(unwritable, handle)
    os.close(unwritable)
    assert keeper.write(lambda writer: writer.write([[checkpoint()]], 0)) == [1]
    assert holder(path) is None
    keeper.write(Writer.probe)
    assert holder(path) == (str(os.getppid()), "")
    keeper.close()


def fail(_: Writer) -> None:
    """As a writer does that finds no room."""
    raise DiskFull("no room left")


def leads(handle: Path, path: Path) -> bool:
    """Whether the handle of this process is one of the file; that of whoever looks has gone by then."""
    with suppress(OSError):
        return handle.readlink() == path
    return False


@pytest.mark.parametrize("why_not", ["x" * 5_000, "é" * 5_000, "\udcff", ""])
def test_what_is_told_never_changes_the_length(tmp_path: Path, why_not: str) -> None:
    """A full disk takes what stands where something stood."""
    path = tmp_path / "tracehub.db"
    claim = Claim(path, 12_345)
    claim.take()
    size = (tmp_path / "tracehub.db.lock").stat().st_size
    claim.tell(why_not)
    assert (tmp_path / "tracehub.db.lock").stat().st_size == size
    assert (found := holder(path)) is not None
    assert found.pid == "12345"
    assert why_not.startswith(found.why_not.replace("?", "\udcff"))
    assert bool(found.why_not) == bool(why_not)
    claim.release()
