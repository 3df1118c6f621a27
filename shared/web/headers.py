"""What every answer tells a browser to refuse: guessing types, framing, caching, fetching from elsewhere."""

from typing import Final

from aiohttp import web

_EVERYWHERE: Final = {
    "Server": "TraceHub",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOT_A_PAGE: Final = {**_EVERYWHERE, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
_PAGE: Final = {
    **_EVERYWHERE,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}


async def protect(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to an answer that is about to leave; entries are nobody's to keep unless the answer says so."""
    headers = response.headers
    if response.status == 304:
        return  # a browser would use these instead of what it keeps with the page, which then could load nothing
    headers.update(_PAGE if headers.get("Content-Type", "").startswith("text/html") else NOT_A_PAGE)
    headers.setdefault("Cache-Control", "no-store")
