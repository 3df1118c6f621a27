"""The dashboard's files: the page itself, asked for each time, and what it needs, under a name that changes with them.

`version` is a hash of all files, so a browser may keep an asset for ever and still has every new one at once after an
upgrade. What is here may be public: it says nothing of the traces.
"""

import gzip
import hashlib
from importlib import resources
from typing import Final, NamedTuple

from aiohttp import web

_TYPES: Final = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
_PAGE: Final = "index.html"
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """One file, as it is and compressed."""

    body: bytes
    packed: bytes
    type: str


def _read() -> tuple[str, dict[str, Asset]]:
    files = {
        file.name: file.read_bytes()
        for file in sorted(resources.files("query_svc.dashboard").iterdir(), key=lambda file: file.name)
        if file.name.rpartition(".")[2] in _TYPES
    }
    version = hashlib.sha256(b"\0".join(part for name in files for part in (name.encode(), files[name]))).hexdigest()[
        :16
    ]
    # named ahead, all modules are fetched at once, and not each when the one that imports it has come
    modules = "\n".join(
        f'<link rel="modulepreload" href="assets/{{version}}/{name}">' for name in files if name.endswith(".js")
    )
    files[_PAGE] = files[_PAGE].replace(b"{modules}", modules.encode()).replace(b"{version}", version.encode())
    assets = {
        name: Asset(body, gzip.compress(body, 9, mtime=0), _TYPES[name.rpartition(".")[2]])
        for name, body in files.items()
    }
    return version, assets


VERSION, ASSETS = _read()


async def dashboard(request: web.Request) -> web.Response:
    """`GET /`: never used from a cache without asking, since it names the version of everything else."""
    return _answer(request, ASSETS[_PAGE], "no-cache")


async def asset(request: web.Request) -> web.Response:
    """`GET /assets/{version}/{name}`"""
    found = ASSETS.get(request.match_info["name"])
    if found is None or request.match_info["version"] != VERSION:
        raise web.HTTPNotFound
    return _answer(request, found, _FOR_EVER)


def _answer(request: web.Request, asset: Asset, cache: str) -> web.Response:
    headers = {"Cache-Control": cache, "ETag": f'"{VERSION}"', "Vary": "Accept-Encoding"}
    if any(tag.value in (VERSION, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = asset.body
    if "gzip" in request.headers.get("Accept-Encoding", "").lower():
        headers["Content-Encoding"] = "gzip"
        body = asset.packed
    return web.Response(body=body, headers=headers, content_type=asset.type, charset="utf-8")
