"""Decompression that stops where it is told to, whatever the body promises."""

import sys
import zlib
from collections.abc import Iterator
from typing import Final

from shared.errors import BadRequest, TooLarge, Unsupported

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK: Final = 64 * 1024  # of input at a time
STEP: Final = 2**20  # of output at a time
MAX_MEMBERS: Final = 1_000  # gzip members or zstd frames in one body
WINDOW_LOG: Final = 24  # of zstd: the decoder's memory, 16 MiB


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before `Content-Encoding: encoding`, at most `limit` bytes of it.

    Raises Unsupported for an encoding other than gzip, zstd and identity, BadRequest for a damaged body, TooLarge.
    """
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "zstd"):
        raise Unsupported(f"Content-Encoding {encoding!r} is not supported: use gzip, zstd or none")
    pieces: list[bytes] = []
    size = 0
    try:
        for piece in _gunzip(body) if encoding == "gzip" else _unzstd(body):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise TooLarge(f"A body holds at most {limit:,} bytes, before and after decompression")
    except (zlib.error, zstd.ZstdError) as error:
        raise BadRequest(f"The body is not {encoding}: {error}") from None
    return b"".join(pieces)


def _gunzip(body: bytes) -> Iterator[bytes]:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    members = 1
    for start in range(0, len(body), BLOCK):
        block = body[start : start + BLOCK]
        while block:
            if inflater.eof:
                members = _one_more(members)
                inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield inflater.decompress(block, STEP)
            block = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    while not inflater.eof:
        if not (piece := inflater.decompress(b"", STEP)) and not inflater.eof:
            raise BadRequest("The gzip body is cut short")
        yield piece


def _unzstd(body: bytes) -> Iterator[bytes]:
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
    inflater = zstd.ZstdDecompressor(options=options)
    frames = 1
    for start in range(0, len(body), BLOCK):
        block = body[start : start + BLOCK]
        while block or not (inflater.needs_input or inflater.eof):
            if inflater.eof:
                frames = _one_more(frames)
                inflater = zstd.ZstdDecompressor(options=options)
            yield inflater.decompress(block, STEP)
            block = inflater.unused_data if inflater.eof else b""
    if not inflater.eof:
        raise BadRequest("The zstd body is cut short")


def _one_more(members: int) -> int:
    if members == MAX_MEMBERS:
        raise BadRequest(f"A compressed body consists of at most {MAX_MEMBERS:,} members")
    return members + 1
