"""A ceiling: aiohttp that reads a body and answers, no work at all; and GET /bytes/N, an answer of N bytes.

python bench/peers/aiohttp_bare.py PORT
"""

import sys

from aiohttp import web

RECEIPT = b'{"accepted":10,"inserted":10,"duplicates":0}'


async def ingest(request: web.Request) -> web.Response:
    """`POST /ingest`"""
    await request.read()
    return web.Response(body=RECEIPT, content_type="application/json")


async def sized(request: web.Request) -> web.Response:
    """`GET /bytes/{count}`"""
    return web.Response(body=bytes(int(request.match_info["count"])), content_type="application/json")


def main() -> None:
    """Serve."""
    app = web.Application(client_max_size=2**30)
    app.add_routes([web.post("/ingest", ingest), web.get("/bytes/{count}", sized)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
