"""Read-only connections to one file, each in a thread of its own, and no query without a deadline."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import aiosqlite

from shared.errors import Unavailable
from shared.storage.sqlite import FileKind, absent, file_kind, identity, read_only_uri, translated

CONNECTIONS: Final = 3
DEADLINE_S: Final = 5.0
INTERRUPT_S: Final = 0.02  # between attempts to stop a query
CACHE_KIB: Final = 4 * 1024
VALUE_BYTES: Final = 10**9  # that SQLite allows

Row = tuple[Any, ...]
Parameters = Sequence[Any] | Mapping[str, Any]
T = TypeVar("T")


class TooLong(Exception):
    """What was asked for at once is longer than was allowed for; asking for it row by row will do."""


class _Connection(aiosqlite.Connection):
    async def call(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function in the thread of the connection, for which aiosqlite has no public way."""
        return await self._execute(read, self._conn)  # type: ignore[no-any-return, no-untyped-call]


class Pool:
    """A few connections that take turns. Every query is one statement, or a few of `one_moment`, read to their end: no
    snapshot stays open.
    """

    def __init__(self, path: Path, identity: tuple[int, int]) -> None:
        self._path = path
        self._identity = identity
        self._connections: list[_Connection] = []
        self._idle: list[_Connection] = []
        self._free = asyncio.Semaphore(0)  # who has waited longest is next: a request that asks again goes to the end
        self._closed = False

    @classmethod
    async def open(cls, path: Path, connections: int = CONNECTIONS) -> Self:
        """Connect; raises Unavailable while there is no file, none that is upgraded yet, or another one half-way."""
        opened = identity(path)
        if opened is None:
            raise absent(path)
        pool = cls(path, opened)
        try:
            with translated(path):
                refuse_other_files(path)
                for _ in range(connections):
                    pool._add(await _connect(path))
            if not pool.is_current():
                raise Unavailable(f"{path} was replaced while it was opened")
        except BaseException:
            await pool.close()
            raise
        return pool

    async def close(self) -> None:
        """End the connections and their threads, each when its query is done; who waits for one is told Unavailable."""
        self._closed = True
        taken: list[_Connection] = []
        try:
            while len(taken) < len(self._connections):
                await self._free.acquire()
                taken.append(self._idle.pop())
            for connection in taken:
                await connection.close()
        finally:
            for connection in taken:
                self._give_back(connection)

    def decoding(self) -> AbstractContextManager[None]:
        """Around what makes sense of rows: those of a damaged file may hold anything, and raise BadFile here."""
        return translated(self._path)

    def is_current(self) -> bool:
        """Whether the file at the path is still the one that was opened."""
        return identity(self._path) == self._identity

    async def rows(self, query: str, parameters: Parameters = (), value_bytes: int = VALUE_BYTES) -> list[Row]:
        """All rows of a query. Raises Unavailable past DEADLINE_S, the wait included; stops when nobody waits.

        Raises TooLong where a value, of the file or made of many, has more than `value_bytes`.
        """
        return await self.call(lambda db: all_rows(db, query, parameters, value_bytes))

    async def some(
        self, query: str, parameters: Parameters, size: Callable[[Row], int], most_bytes: int
    ) -> tuple[list[Row], bool]:
        """Rows of a query while they have no more than `most_bytes` together, one in any case; True: there may be more.

        Raises Unavailable as `rows` does.
        """
        return await self.call(lambda db: some_rows(db, query, parameters, size, most_bytes))

    async def row(self, query: str, parameters: Parameters = ()) -> Row | None:
        """The first row of a query, or None."""
        rows = await self.rows(query, parameters)
        return rows[0] if rows else None

    async def call(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` gives, in the thread of a connection. Raises Unavailable as `rows` does."""
        loop = asyncio.get_running_loop()
        until = loop.time() + DEADLINE_S
        connection = await self._connection(until)
        try:
            if self._closed:
                raise Unavailable(f"{self._path} was replaced by another file")
            return await self._called(connection, read, until - loop.time())
        finally:
            self._give_back(connection)

    def _add(self, connection: _Connection) -> None:
        self._connections.append(connection)
        self._give_back(connection)

    def _give_back(self, connection: _Connection) -> None:
        self._idle.append(connection)
        self._free.release()

    async def _connection(self, until: float) -> _Connection:
        """A free connection, before `until` or not at all."""
        try:
            if self._free.locked():
                async with asyncio.timeout_at(until):
                    await self._free.acquire()
            else:
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(
                f"Waited {DEADLINE_S:.0f} s for a connection to the file: other queries hold them all"
            ) from None
        return self._idle.pop()

    async def _called(self, connection: _Connection, read: Callable[[sqlite3.Connection], T], seconds: float) -> T:
        running = asyncio.ensure_future(connection.call(read))
        try:
            done, _ = await asyncio.wait({running}, timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            await _stop(connection, running)
            raise
        if not done:
            await _stop(connection, running)
            raise Unavailable(f"The query took longer than {DEADLINE_S:.0f} s")
        with translated(self._path):
            return running.result()


@contextlib.contextmanager
def one_moment(db: sqlite3.Connection) -> Iterator[None]:
    """A block that finds the file as it is at its begin: a statement with rows left holds the snapshot."""
    with contextlib.closing(db.execute("SELECT rootpage FROM sqlite_master")):
        yield


def all_rows(db: sqlite3.Connection, query: str, parameters: Parameters, value_bytes: int) -> list[Row]:
    """All rows of a query; raises TooLong as `Pool.rows` does."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, value_bytes)
    try:
        return db.execute(query, parameters).fetchall()
    except sqlite3.DataError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_TOOBIG:
            raise TooLong from None
        raise


def some_rows(
    db: sqlite3.Connection, query: str, parameters: Parameters, size: Callable[[Row], int], most_bytes: int
) -> tuple[list[Row], bool]:
    """Rows of a query as `Pool.some` gives them."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
    rows: list[Row] = []
    with contextlib.closing(db.execute(query, parameters)) as found:  # or its snapshot would stay open
        for row in found:
            most_bytes -= size(row)
            if most_bytes >= 0 or not rows:
                rows.append(row)
            if most_bytes < 0:
                return rows, True
    return rows, False


async def _connect(path: Path) -> _Connection:
    """Connect, to the end even if cancelled: a thread that is left to itself outlives the loop it answers to."""
    connecting = asyncio.ensure_future(_connected(path))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with contextlib.suppress(sqlite3.Error):  # it could not open either; the cancellation must not get lost over it
            await (await connecting).close()
        raise


async def _connected(path: Path) -> _Connection:
    def connector() -> sqlite3.Connection:
        return sqlite3.connect(read_only_uri(path), uri=True, isolation_level=None, cached_statements=64)

    connection = _Connection(connector, iter_chunk_size=1)
    await connection
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


async def _stop(connection: _Connection, running: asyncio.Future[Any]) -> None:
    """End a query, also where the wait for its end is cancelled: its connection is free for others then."""
    cancelled: asyncio.CancelledError | None = None
    while not running.done():  # an interrupt before the query has begun is lost
        await connection.interrupt()
        try:
            await asyncio.wait({running}, timeout=INTERRUPT_S)
        except asyncio.CancelledError as error:
            cancelled = error
    if not running.cancelled():
        running.exception()
    if cancelled is not None:
        raise cancelled
