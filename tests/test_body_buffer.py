"""A body while it arrives takes the memory that it was granted, however it is cut into pieces."""

import tracemalloc

import pytest

from ingest_svc.body_buffer import ON_HEAP_BYTES, BodyBuffer


@pytest.mark.parametrize("most", [ON_HEAP_BYTES, ON_HEAP_BYTES + 1])
def test_a_body_in_tiny_pieces(most: int) -> None:
    """It takes about its size, and is whole at the end."""
    body = b"01234567" * (ON_HEAP_BYTES // 8)
    tracemalloc.start()
    try:
        buffer = BodyBuffer(most)
        for at in range(0, len(body), 2):
            buffer.add(body[at : at + 2])
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.2 * len(body)
    assert buffer.whole() == body
