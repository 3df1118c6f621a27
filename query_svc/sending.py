"""Sending a long answer in pieces: in one it would be copied to stand behind its headers, and what the connection does
not take at once copied again.
"""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

PIECE_BYTES: Final = 256 * 1024


async def send_json(request: web.Request, body: bytes, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    """Answer with a body that is JSON already."""
    if len(body) <= PIECE_BYTES or request.method == "HEAD":
        return web.Response(body=body, headers=headers, content_type="application/json")
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/json"
    response.content_length = len(body)
    await response.prepare(request)
    whole = memoryview(body)
    for start in range(0, len(body), PIECE_BYTES):
        await response.write(whole[start : start + PIECE_BYTES])
    await response.write_eof()
    return response
