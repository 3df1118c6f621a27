"""The correlation id in force: in threads, tasks, executors and processes."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from checkpoint_logger import (
    carry,
    get_correlation_id,
    new_correlation_id,
    reset_correlation_id,
    set_correlation_id,
)
from test_checkpoint_logger import log_of, run, sent, server
from wayward import Wayward

__all__ = ["server"]  # a fixture


def test_without_an_id_in_force_a_checkpoint_makes_one_for_its_context(server: Wayward) -> None:
    """Entry and exit share it, another thread gets another."""
    log = log_of(server)

    def request() -> None:
        log.checkpoint_entry("REST", "/x")
        log.checkpoint_exit("REST", "/x")

    for _ in range(2):
        thread = threading.Thread(target=request)
        thread.start()
        thread.join()
    ids = [entry["correlation_id"] for entry in sent(server)]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert len(ids[0]) == 32
    assert int(ids[0], 16)


async def test_tasks_do_not_see_each_others_ids(server: Wayward) -> None:
    """A hundred tasks at once, each with its own id throughout, in threads started from them as well."""
    log = log_of(server)

    async def request(number: int) -> None:
        set_correlation_id(f"task-{number}")
        log.checkpoint_entry("REST", str(number))
        await asyncio.sleep(0.001 * (number % 7))
        await asyncio.to_thread(log.checkpoint_exit, "REST", str(number))

    await asyncio.gather(*(request(number) for number in range(100)))
    entries = await asyncio.to_thread(sent, server)
    assert len(entries) == 200
    assert all(entry["correlation_id"] == f"task-{entry['endpoint']}" for entry in entries)


def test_carry_takes_the_id_into_an_executor() -> None:
    """A pool's threads start with an empty context; `carry` brings the id along and leaves nothing behind."""
    token = set_correlation_id("carried")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_correlation_id).result() is None
        assert pool.submit(carry(get_correlation_id)).result() == "carried"
        assert pool.submit(get_correlation_id).result() is None
    reset_correlation_id(token)


def test_carry_takes_the_id_into_another_process() -> None:
    """What `carry` gives can be pickled as the function can, and is still known by its name."""
    token = set_correlation_id("carried")
    carried = carry(get_correlation_id)
    reset_correlation_id(token)
    assert carried.__name__ == "get_correlation_id"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(carried).result() == "carried"
        assert pool.submit(get_correlation_id).result() is None


def test_a_process_begins_with_the_id_that_it_was_started_under() -> None:
    """TRACEHUB_CORRELATION_ID is in force in its threads, too; a request that comes in is none of that chain's."""
    code = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from checkpoint_logger import get_correlation_id, reset_correlation_id, set_correlation_id\n"
        "from tracehub.integrations.propagation import incoming_id, outgoing_headers\n"
        "print(get_correlation_id(), ThreadPoolExecutor(1).submit(get_correlation_id).result())\n"
        "print(outgoing_headers()['X-Correlation-ID'], len(incoming_id({}.get)))\n"
        "token = set_correlation_id(None); print(get_correlation_id())\n"
        "reset_correlation_id(token); print(get_correlation_id())\n"
    )
    done = run(code, TRACEHUB_CORRELATION_ID="deploy-17")
    assert done.stdout.split() == ["deploy-17", "deploy-17", "deploy-17", "32", "None", "deploy-17"], done.stderr
    assert run("import checkpoint_logger; print(checkpoint_logger.get_correlation_id())").stdout == "None\n"


def test_ids_are_set_and_put_back() -> None:
    """Tokens undo; an empty id becomes a new one; None means none; a token used twice does nothing."""
    outer = set_correlation_id("outer")
    inner = set_correlation_id("inner")
    assert get_correlation_id() == "inner"
    reset_correlation_id(inner)
    reset_correlation_id(inner)
    assert get_correlation_id() == "outer"
    set_correlation_id("")
    assert len(str(get_correlation_id())) == 32
    set_correlation_id(None)
    assert get_correlation_id() is None
    reset_correlation_id(outer)
    assert new_correlation_id() != new_correlation_id()
