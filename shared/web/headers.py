"""What every answer tells a browser to refuse: guessing types, framing, caching, fetching from elsewhere."""

from typing import Final

from aiohttp import hdrs, web
from multidict import istr  # names that need not be looked at letter by letter for each answer

_EVERYWHERE: Final[dict[str, str]] = {
    istr("Server"): "TraceHub",
    istr("X-Content-Type-Options"): "nosniff",
    istr("Referrer-Policy"): "no-referrer",
    istr("Cross-Origin-Resource-Policy"): "same-origin",
}
NOT_A_PAGE: Final[dict[str, str]] = {
    **_EVERYWHERE,
    istr("Content-Security-Policy"): "default-src 'none'; frame-ancestors 'none'",
}
_PAGE: Final[dict[str, str]] = {
    **_EVERYWHERE,
    istr("Cross-Origin-Opener-Policy"): "same-origin",
    istr("Content-Security-Policy"): (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}


async def protect(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to an answer that is about to leave; entries are nobody's to keep unless the answer says so."""
    headers = response.headers
    if response.status == 304:
        return  # a browser would use these instead of what it keeps with the page, which then could load nothing
    headers.update(_PAGE if headers.get(hdrs.CONTENT_TYPE, "").startswith("text/html") else NOT_A_PAGE)
    headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
