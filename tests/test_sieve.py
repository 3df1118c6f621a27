"""A sieve may say too much and never too little."""

import random

from shared.storage.sieve import Sieve


def keys(count: int, seed: int) -> list[int]:
    """48-bit keys."""
    rng = random.Random(seed)
    return [rng.getrandbits(48) for _ in range(count)]


def test_what_is_there_is_found_and_little_else() -> None:
    """Every key is found, before and after folding, and one in twenty at most of those that are not there."""
    there, elsewhere = keys(10_000, 1), keys(10_000, 2)
    sieve = Sieve.sized(100_000)
    for key in there:
        sieve.add(key)
    folded = sieve.folded(len(there))
    assert len(folded) < 40_000
    for one in (sieve, Sieve(bytearray(folded))):
        assert all(one.may_hold(key) for key in there)
        assert sum(one.may_hold(key) for key in elsewhere) < 500


def test_an_empty_one_holds_nothing() -> None:
    """Without keys nothing is found, and hardly any room is taken."""
    sieve = Sieve.sized(0)
    assert not any(sieve.may_hold(key) for key in keys(100, 1))
    assert len(sieve.folded(0)) <= 64
