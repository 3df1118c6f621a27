"""The lifespan of an ASGI application: what waits is sent before it ends.

uvicorn ends itself with the signal that stopped it, so nothing that Python runs at exit is run, in its workers neither.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, MutableMapping
from typing import Any, Callable

from tracehub.plain import error_text
from tracehub.processes import leave
from tracehub.trouble import say

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]  # each framework has types of its own for what it is called with


async def live(app: App, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Let `app` have its lifespan, or have one in its place where it wants none, as Django does."""
    begun = False

    async def receive_for_app() -> Message:
        nonlocal begun
        begun = True
        return await receive()

    async def send_last(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await _leave()
        await send(message)

    try:
        await app(scope, receive_for_app, send_last)
    except Exception as error:  # how an application says by ASGI that it takes none, if it has received nothing
        if begun:
            raise
        say("lifespan", "the application takes no lifespan: %s", error_text(error), level=logging.INFO)
    if not begun:
        await _live_instead(receive, send_last)


async def _live_instead(receive: Receive, send: Send) -> None:
    kind = ""
    while kind != "lifespan.shutdown":
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


async def _leave() -> None:
    try:
        await asyncio.to_thread(leave)
    except RuntimeError:  # a loop of another kind, or no more threads: nobody is served any more who would wait
        leave()
