"""Windows of time that the end of the service closes early."""

import asyncio

from patience import PATIENCE_S

from query_svc.windows import Windows


async def test_a_window_ends_by_itself() -> None:
    """The block is ended after its time, and the caller goes on behind it."""
    windows = Windows()
    async with windows.window(0.01):
        await asyncio.sleep(3_600)
        raise AssertionError
    assert windows._open == set()


async def test_closing_ends_all_windows_and_those_to_come() -> None:
    """Whoever waits goes on at once, whoever begins to wait does not."""
    windows = Windows()

    async def wait() -> None:
        async with windows.window(3_600):
            await asyncio.sleep(3_600)

    async with asyncio.timeout(PATIENCE_S):
        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await asyncio.sleep(0.01)
        windows.close()
        await asyncio.gather(*waiting, wait())


async def test_a_window_that_has_just_run_out_does_not_hinder_closing() -> None:
    """A block that takes a while to end after its time is left to end."""
    windows = Windows()

    async def linger() -> None:
        async with windows.window(0.01):
            try:
                await asyncio.sleep(3_600)
            finally:
                await asyncio.sleep(0.1)

    async def wait() -> None:
        async with windows.window(3_600):
            await asyncio.sleep(3_600)

    async with asyncio.timeout(PATIENCE_S):
        both = asyncio.gather(linger(), wait())
        await asyncio.sleep(0.05)
        windows.close()
        await both
