"""How query processes learn of a commit at once: a datagram to a socket that each keeps beside the database file.

A ring carries nothing and may be lost: who listens looks at the file, and does so now and then without a ring as well.
Where there can be no sockets (some file systems, long paths), it looks more often instead.
"""

import asyncio
import contextlib
import glob
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOOK_S: Final = 0.5  # between two looks for new listeners


class Doorbell:
    """The ingest process's side."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._listeners: list[str] = []
        self._looked_at = 0.0

    def ring(self) -> None:
        """Tell every listener; never waits, never fails."""
        if time.monotonic() - self._looked_at >= LOOK_S:
            self._looked_at = time.monotonic()
            self._listeners = [
                str(path) for path in self._database.parent.glob(f"{glob.escape(self._database.name)}.bell-*")
            ]
        for listener in self._listeners:
            try:
                self._socket.sendto(b"!", listener)
            except ConnectionRefusedError:  # its process was killed
                with contextlib.suppress(OSError):  # not ours to take down, or gone
                    Path(listener).unlink()
            except OSError:  # gone, or full of rings that nobody has heard yet
                pass

    def close(self) -> None:
        """Ring no more."""
        self._socket.close()


class Listener:
    """The query process's side: `heard` is called on the event loop for a ring, once for several."""

    def __init__(self, database: Path, heard: Callable[[], None]) -> None:
        self._path = database.with_name(f"{database.name}.bell-{secrets.token_hex(4)}")
        self._heard = heard
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self.listens = False
        with contextlib.suppress(OSError):
            self._socket.bind(str(self._path))
            self._path.chmod(0o600)
            asyncio.get_running_loop().add_reader(self._socket, self._answer)
            self.listens = True

    def close(self) -> None:
        """Take the bell down."""
        if self.listens:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._path.unlink(missing_ok=True)
        self._socket.close()

    def _answer(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(16):
                pass
        self._heard()
