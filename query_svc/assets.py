"""The dashboard's files: the page itself, asked for each time, and what it needs, under a name that changes with them.

`version` is a hash of all files, so a browser may keep an asset for ever and still has every new one at once after an
upgrade. What is here may be public: it says nothing of the traces.
"""

import gzip
import hashlib
import re
from importlib import resources
from typing import Final, NamedTuple

from aiohttp import web

_TYPES: Final = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}
_PAGE: Final = "index.html"
_FIRST: Final = "main.js"  # and what it imports: what shows the list of chains
_SAVED: Final = "offline.js"  # runs in a chain that was saved, and nowhere else
_IMPORT: Final = re.compile(rb"^import .* from '\./([\w.]+)';$", re.MULTILINE)
_TAKES_GZIP: Final = re.compile(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", re.IGNORECASE)  # with a weight above zero
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
    first = _first(files)
    rest = [name for name in files if name.endswith(".js") and name not in (*first, _SAVED)]
    for place, text in ((b"{first}", _preloads(first)), (b"{rest}", " ".join(rest)), (b"{version}", version)):
        files[_PAGE] = files[_PAGE].replace(place, text.encode())
    assets = {
        name: Asset(body, gzip.compress(body, 9, mtime=0), _TYPES[name.rpartition(".")[2]])
        for name, body in files.items()
    }
    return version, assets


def _first(files: dict[str, bytes]) -> list[str]:
    """The modules that the page begins with."""
    names = [_FIRST]
    for name in names:
        names += [found for each in _IMPORT.findall(files[name]) if (found := each.decode()) not in names]
    return names


def _preloads(modules: list[str]) -> str:
    """Links: named ahead, modules are fetched at once, and not each when the one that imports it has come."""
    return "\n".join(f'<link rel="modulepreload" href="assets/{{version}}/{name}">' for name in modules)


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
    headers = {"Cache-Control": cache, "ETag": f'W/"{VERSION}"', "Vary": "Accept-Encoding"}
    if any(tag.value in (VERSION, "*") for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = asset.body
    if _TAKES_GZIP.search(request.headers.get("Accept-Encoding", "")):
        headers["Content-Encoding"] = "gzip"
        body = asset.packed
    return web.Response(body=body, headers=headers, content_type=asset.type, charset="utf-8")
