"""Decompression: what was packed comes out, and nothing makes it take more room than it may."""

import contextlib
import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_svc.inflate import MAX_MEMBERS, inflate
from shared.errors import BadRequest, TooLarge, Unsupported

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 2**20
PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
both = pytest.mark.parametrize("encoding", ["gzip", "zstd"])


def gzip_bomb(size: int) -> bytes:
    """One gzip member of so many megabytes of zeros, some thousandth of that long."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)) * (size - 1)


@both
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_what_was_packed_comes_out(encoding: str, parts: list[bytes]) -> None:
    """Any number of gzip members or zstd frames, empty ones too, give the bytes that went into them."""
    body = b"".join(map(PACK[encoding], parts))
    assert inflate(body, encoding, 2_000) == b"".join(parts)


@both
def test_bodies_of_many_blocks_come_out(encoding: str) -> None:
    """A body longer than a block, with member borders anywhere, is whole."""
    parts = [bytes(range(256)) * 400 * n for n in (1, 3, 7)]
    noise = zlib.compress(b"seed", 0) + bytes(hash((n, n * n)) & 255 for n in range(200_000))
    body = b"".join(PACK[encoding](part) for part in [*parts, noise])
    assert inflate(body, encoding, 4 * MIB) == b"".join([*parts, noise])


@both
def test_the_limit_is_exact(encoding: str) -> None:
    """As many bytes as are allowed come out, one more is too large."""
    for size in (1, 1000, MIB, 2 * MIB + 1):
        assert len(inflate(PACK[encoding](bytes(size)), encoding, size)) == size
        with pytest.raises(TooLarge):
            inflate(PACK[encoding](bytes(size + 1)), encoding, size)


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip_bomb(10)),
        ("gzip", gzip_bomb(1024)),
        ("gzip", gzip.compress(bytes(MIB)) * 999),
        ("zstd", zstd.compress(bytes(10 * MIB))),
        ("zstd", zstd.compress(bytes(16 * MIB)) * 64),
    ],
    ids=["gzip 10 MB", "gzip 1 GB", "gzip 1 GB in members", "zstd 10 MB", "zstd 1 GB in frames"],
)
def test_a_bomb_costs_no_more_than_its_limit(encoding: str, bomb: bytes) -> None:
    """Ten megabytes to a gigabyte of zeros are given up on at the limit, with little more than that in memory."""
    tracemalloc.start()
    with pytest.raises(TooLarge):
        inflate(bomb, encoding, 2 * MIB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * MIB


@both
def test_a_body_cut_short_is_refused(encoding: str) -> None:
    """Every beginning of a packed body is a 400, the empty one too."""
    body = PACK[encoding](b"some text that is worth packing " * 20)
    for length in range(len(body)):
        with pytest.raises(BadRequest):
            inflate(body[:length], encoding, MIB)


@both
@given(st.binary(min_size=1, max_size=50), st.integers(0, 60))
def test_damage_is_refused(encoding: str, noise: bytes, place: int) -> None:
    """Noise, whole or within a packed body, never raises anything but a refusal."""
    packed = PACK[encoding](b"some text " * 20)
    for body in (noise, packed[:place] + noise + packed[place:]):
        with contextlib.suppress(BadRequest, TooLarge):
            inflate(body, encoding, MIB)


@both
def test_garbage_behind_the_last_member_is_refused(encoding: str) -> None:
    """What follows the packed body has to be packed as well."""
    with pytest.raises(BadRequest, match=f"not {encoding}"):
        inflate(PACK[encoding](b"text") + b"garbage garbage", encoding, MIB)


@both
def test_the_number_of_members_is_bounded(encoding: str) -> None:
    """A thousand empty members are taken, one more is refused."""
    empty = PACK[encoding](b"")
    assert inflate(empty * MAX_MEMBERS, encoding, MIB) == b""
    with pytest.raises(BadRequest, match="members"):
        inflate(empty * (MAX_MEMBERS + 1), encoding, MIB)


def test_a_zstd_window_is_bounded() -> None:
    """A frame that asks the decoder for 128 MiB of memory is refused, one that asks for 16 is not."""
    for log in (24, 27):
        packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
        body = packer.compress(b"text" * 1000) + packer.flush()
        if log == 24:
            assert inflate(body, "zstd", MIB) == b"text" * 1000
        else:
            with pytest.raises(BadRequest, match="zstd"):
                inflate(body, "zstd", MIB)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd2"])
def test_other_encodings_are_unsupported(encoding: str) -> None:
    """What nobody here reads is named in the refusal."""
    with pytest.raises(Unsupported, match=encoding):
        inflate(b"body", encoding, MIB)
    assert inflate(b"body", "identity", MIB) == b"body"
