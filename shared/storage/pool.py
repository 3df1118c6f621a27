"""Read-only connections to one file, each in a thread of its own, and no query without a deadline."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Self, cast

import aiosqlite

from shared.errors import Unavailable
from shared.storage.sqlite import FileKind, file_kind, identity, read_only_uri, translated

CONNECTIONS: Final = 3
DEADLINE_S: Final = 5.0
INTERRUPT_S: Final = 0.02  # between attempts to stop a query
CACHE_KIB: Final = 4 * 1024

Row = tuple[Any, ...]
Parameters = Sequence[Any] | Mapping[str, Any]


class Pool:
    """A few connections that take turns. Every query is one statement, read to its end: no snapshot stays open."""

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        self._path = path
        self._identity = identity
        self._connections: list[aiosqlite.Connection] = []
        self._idle: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        self._closed = False

    @classmethod
    async def open(cls, path: Path, connections: int = CONNECTIONS) -> Self:
        """Connect; raises Unavailable while there is no file, or none that is upgraded yet."""
        opened = identity(path)
        if opened is None:
            raise Unavailable(f"there is no database file {path} yet: the ingest service makes it")
        pool = cls(path, opened)
        try:
            with translated(path):
                refuse_other_files(path)
                for _ in range(connections):
                    pool._add(await _connect(path))
        except BaseException:
            await pool.close()
            raise
        return pool

    async def close(self) -> None:
        """End the connections and their threads, each when its query is done; who waits for one is told Unavailable."""
        self._closed = True
        taken: list[aiosqlite.Connection] = []
        try:
            while len(taken) < len(self._connections):
                taken.append(await self._idle.get())
            for connection in taken:
                await connection.close()
        finally:
            for connection in taken:
                self._idle.put_nowait(connection)

    def decoding(self) -> AbstractContextManager[None]:
        """Around what makes sense of rows: those of a damaged file may hold anything, and raise BadFile here."""
        return translated(self._path)

    def is_current(self) -> bool:
        """Whether the file at the path is still the one that was opened."""
        return identity(self._path) == self._identity

    async def rows(self, query: str, parameters: Parameters = ()) -> list[Row]:
        """All rows of a query. Raises Unavailable past DEADLINE_S, the wait included; stops when nobody waits."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DEADLINE_S
        connection = await self._connection(until)
        try:
            if self._closed:
                raise Unavailable(f"{self._path} was replaced by another file")
            return await self._rows(connection, query, parameters, until - loop.time())
        finally:
            self._idle.put_nowait(connection)

    async def row(self, query: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a query, or None."""
        rows = await self.rows(query, parameters)
        return rows[0] if rows else None

    def _add(self, connection: aiosqlite.Connection) -> None:
        self._connections.append(connection)
        self._idle.put_nowait(connection)

    async def _connection(self, until: float) -> aiosqlite.Connection:
        """A free connection, before `until` or not at all."""
        if not self._idle.empty():
            return self._idle.get_nowait()
        try:
            async with asyncio.timeout_at(until):
                return await self._idle.get()
        except TimeoutError:
            raise Unavailable(f"Other queries took all of {DEADLINE_S:.0f} s") from None

    async def _rows(
        self, connection: aiosqlite.Connection, query: str, parameters: Parameters, seconds: float
    ) -> list[Row]:
        running = asyncio.ensure_future(connection.execute_fetchall(query, parameters))
        try:
            done, _ = await asyncio.wait({running}, timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            await _stop(connection, running)
            raise
        if not done:
            await _stop(connection, running)
            raise Unavailable(f"The query took longer than {DEADLINE_S:.0f} s")
        with translated(self._path):
            return cast(list[Row], running.result())


async def _connect(path: Path) -> aiosqlite.Connection:
    """Connect, to the end even if cancelled: a thread that is left to itself outlives the loop it answers to."""
    connecting = asyncio.ensure_future(_connected(path))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with contextlib.suppress(sqlite3.Error):  # it could not open either; the cancellation must not get lost over it
            await (await connecting).close()
        raise


async def _connected(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(read_only_uri(path), uri=True, isolation_level=None, cached_statements=64)
    try:
        for setting in ("busy_timeout=1000", "query_only=1", f"cache_size=-{CACHE_KIB}"):
            await connection.execute_fetchall(f"PRAGMA {setting}")
    except BaseException:
        await connection.close()
        raise
    return connection


def refuse_other_files(path: Path) -> None:
    """Raise Unavailable unless the file is one that readers can use, BadFile for one that nobody here can."""
    db = sqlite3.connect(read_only_uri(path), uri=True, timeout=0)  # waiting here would stop the event loop
    try:
        kind = file_kind(db, path)
    finally:
        db.close()
    if kind is not FileKind.CURRENT:
        raise Unavailable(f"{path} is not set up yet: the ingest service does that")


async def _stop(connection: aiosqlite.Connection, running: asyncio.Future[Any]) -> None:
    while not running.done():  # an interrupt before the query has begun is lost
        await connection.interrupt()
        await asyncio.wait({running}, timeout=INTERRUPT_S)
    if not running.cancelled():
        running.exception()
