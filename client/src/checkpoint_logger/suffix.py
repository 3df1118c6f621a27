"""Suffixes: what makes checkpoints of one instant distinct. Five letters or digits, none twice in 916 million.

Each process goes through them in an order of its own, so two processes seldom meet at the same instant's suffix.
"""

from __future__ import annotations

import os
from itertools import count
from random import SystemRandom
from string import ascii_letters, digits


def _in_random_order() -> tuple[list[str], list[str], list[str]]:
    random = SystemRandom()
    a, b, c, d, e = (random.sample(digits + ascii_letters, 62) for _ in range(5))
    return a, [x + y for x in b for y in c], [x + y for x in d for y in e]


_numbers, _tables = count(), _in_random_order()


def new_suffix() -> str:
    """The next one. Taking a number is atomic, also where there is no interpreter's lock."""
    number = next(_numbers)
    first, middle, last = _tables
    return first[number // 62**4 % 62] + middle[number // 62**2 % 62**2] + last[number % 62**2]


def _begin_anew() -> None:
    global _numbers, _tables
    _numbers, _tables = count(), _in_random_order()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
