"""Read-only connections: what becomes of those that nobody waits for any more."""

import asyncio
import contextlib
import threading

from shared.env import Settings
from shared.storage.pool import Pool
from shared.storage.writer import Writer


def test_a_cancelled_opening_leaves_no_thread(settings: Settings) -> None:
    """Wherever the opening of the pool is cancelled, no thread of it answers to a loop that has ended."""
    Writer(settings.path, settings.retention_ms).close()

    async def open_and_cancel(turns: int) -> None:
        opening = asyncio.create_task(Pool.open(settings.path))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close()

    for turns in range(40):
        asyncio.run(open_and_cancel(turns))
        for thread in set(threading.enumerate()) - {threading.current_thread()}:
            thread.join(5)  # an exception in it is a warning, and so an error
            assert not thread.is_alive()
