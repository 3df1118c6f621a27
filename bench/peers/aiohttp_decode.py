"""A ceiling: aiohttp that decodes a body into structs with msgspec, `data` left as it is, and stores nothing.

python bench/peers/aiohttp_decode.py PORT
"""

import sys

import msgspec
from aiohttp import web


class Entry(msgspec.Struct, gc=False):
    """The plainest struct that holds an entry: types only."""

    source_id: str
    correlation_id: str
    timestamp: float
    suffix: str
    direction: str
    operation: str
    endpoint: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    hostname: str = "unknown"
    raw_line: str | None = None


class Batch(msgspec.Struct, gc=False):
    """A body."""

    traces: list[Entry]


class Receipt(msgspec.Struct):
    """An answer."""

    accepted: int
    inserted: int
    duplicates: int


_DECODE = msgspec.json.Decoder(Batch).decode
_ENCODE = msgspec.json.Encoder().encode


async def ingest(request: web.Request) -> web.Response:
    """`POST /ingest`"""
    count = len(_DECODE(await request.read()).traces)
    return web.Response(body=_ENCODE(Receipt(count, count, 0)), content_type="application/json")


def main() -> None:
    """Serve."""
    app = web.Application(client_max_size=2**30)
    app.add_routes([web.post("/ingest", ingest)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
