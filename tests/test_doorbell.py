"""The bell between the two services."""

import asyncio
from pathlib import Path

from conftest import until

from shared.doorbell import Doorbell, Listener


def names_in(directory: Path) -> list[str]:
    """What the directory holds."""
    return [path.name for path in directory.iterdir()]


async def test_every_listener_hears(tmp_path: Path) -> None:
    """Each listener hears a ring, also where several have one process id, as in containers; none leaves a trace."""
    database = tmp_path / "tracehub.db"
    heard = [asyncio.Event(), asyncio.Event()]
    listeners = [Listener(database, event.set) for event in heard]
    doorbell = Doorbell(database)
    doorbell.ring()
    await until(lambda: all(event.is_set() for event in heard))
    for listener in listeners:
        listener.close()
    doorbell.ring()
    doorbell.close()
    assert names_in(tmp_path) == []


async def test_a_killed_listener_is_forgotten(tmp_path: Path) -> None:
    """The socket that a killed process left is removed by the next ring."""
    left = Listener(tmp_path / "tracehub.db", lambda: None)
    asyncio.get_running_loop().remove_reader(left._socket)
    left._socket.close()
    doorbell = Doorbell(tmp_path / "tracehub.db")
    doorbell.ring()
    doorbell.close()
    assert names_in(tmp_path) == []
