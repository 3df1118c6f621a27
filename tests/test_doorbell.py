"""The bell between the ingest process and the query processes."""

import asyncio
import stat
from pathlib import Path

from conftest import until

from shared.doorbell import Doorbell, Listener


def beside(directory: Path) -> list[Path]:
    """What lies in a directory."""
    return list(directory.iterdir())


async def test_every_listener_hears(tmp_path: Path) -> None:
    """Several on one file, of one pid too, each hear a ring; a name that looks like a pattern is a name."""
    database = tmp_path / "trace[1]*.db"
    heard: list[int] = []
    listeners = [Listener(database, lambda number=number: heard.append(number)) for number in range(3)]
    bell = Doorbell(database)
    bell.ring()
    await until(lambda: sorted(heard) == [0, 1, 2])
    listeners[0].close()
    bell.ring()
    await until(lambda: sorted(heard) == [0, 1, 1, 2, 2])
    for listener in listeners[1:]:
        listener.close()
    bell.close()
    assert beside(tmp_path) == []


async def test_many_rings_are_heard_at_least_once(tmp_path: Path) -> None:
    """A listener that is busy loses rings, never the last word; the ringer never waits."""
    heard: list[None] = []
    listener, bell = Listener(tmp_path / "db", lambda: heard.append(None)), Doorbell(tmp_path / "db")
    for _ in range(5_000):
        bell.ring()
    await until(lambda: heard)
    assert len(heard) < 5_000
    await asyncio.sleep(0.05)
    heard.clear()
    bell.ring()
    await until(lambda: heard)
    listener.close()
    bell.close()


async def test_the_bell_of_a_killed_process_is_taken_down(tmp_path: Path) -> None:
    """What kill -9 leaves behind goes with the next ring."""
    listener = Listener(tmp_path / "db", lambda: None)
    (path,) = beside(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    asyncio.get_running_loop().remove_reader(listener._socket)
    listener._socket.close()
    bell = Doorbell(tmp_path / "db")
    bell.ring()
    bell.close()
    assert beside(tmp_path) == []
    listener.listens = False


async def test_where_no_socket_fits_nobody_listens(tmp_path: Path) -> None:
    """A path too long for a socket is no error: the listener says that it hears nothing."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    listener = Listener(deep / "db", lambda: None)
    bell = Doorbell(deep / "db")
    bell.ring()
    assert not listener.listens
    listener.close()
    bell.close()
    assert beside(deep) == []
