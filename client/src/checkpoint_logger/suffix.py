"""Suffixes: what makes checkpoints of one instant distinct. Five letters or digits, none twice in 916 million.

Each process goes through them in an order of its own, so two processes seldom meet at the same instant's suffix.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from random import SystemRandom
from string import ascii_letters, digits

LENGTH = 5


def _in_random_order() -> Iterator[str]:
    random = SystemRandom()
    return map("".join, product(*(random.sample(digits + ascii_letters, 62) for _ in range(LENGTH))))


_suffixes = _in_random_order()


def new_suffix() -> str:
    """The next one. Atomic under the interpreter's lock."""
    try:
        return next(_suffixes)
    except StopIteration:
        _begin_anew()
        return next(_suffixes)


def _begin_anew() -> None:
    global _suffixes
    _suffixes = _in_random_order()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
