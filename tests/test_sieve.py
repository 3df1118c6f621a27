"""A sieve may say too much and never too little."""

import random

import pytest

from shared.errors import BadFile
from shared.storage.sieve import MOST_BYTES, SLOTS, Sieve, Sieves


def keys(count: int, seed: int) -> list[int]:
    """48-bit keys."""
    rng = random.Random(seed)
    return [rng.getrandbits(48) for _ in range(count)]


def test_what_is_there_is_found_and_little_else() -> None:
    """Every key is found, before and after folding, and one in twenty at most of those that are not there."""
    there, elsewhere = keys(10_000, 1), keys(10_000, 2)
    sieve = Sieve.sized(100_000)
    sieve.add(there)
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


def folded(there: list[int]) -> bytes:
    """The sieve of an era with these keys."""
    sieve = Sieve.sized(10 * len(there))
    sieve.add(there)
    return sieve.folded(len(there))


def test_eras_side_by_side_answer_as_each_alone() -> None:
    """Eras of any size say together what each of them says: its keys for certain, and few others."""
    sieves = Sieves()
    alone = {}
    for era in range(1, SLOTS + 1):
        bits = folded(keys(7 * era * era, seed=era))
        alone[era] = Sieve(bytearray(bits))
        assert sieves.put(era, bits)
    assert not sieves.put(SLOTS + 1, folded([1]))
    for key in keys(2_000, seed=SLOTS + 9) + keys(7 * 25, seed=5):
        assert sieves.may_hold(key) == [era for era in range(SLOTS, 0, -1) if alone[era].may_hold(key)]


def test_an_era_that_has_gone_makes_room_for_another() -> None:
    """Its bits go from the slot that the next one takes, and the others keep theirs."""
    sieves = Sieves()
    theirs = {era: keys(100, seed=era) for era in range(1, SLOTS + 1)}
    for era, there in theirs.items():
        sieves.put(era, folded(there))
    sieves.drop(9)
    sieves.drop(77)
    assert not any(9 in sieves.may_hold(key) for key in theirs[9])
    assert sieves.put(99, folded(keys(10, seed=99)))
    assert sum(99 in sieves.may_hold(key) for key in theirs[9]) < 50
    assert all(era in sieves.may_hold(key) for era, there in theirs.items() if era != 9 for key in there)


def test_the_sieve_of_an_era_has_a_bound() -> None:
    """However many chains an era has, what is kept of it takes no more than MOST_BYTES."""
    assert len(Sieve.sized(10_000_000).folded(10_000_000)) == MOST_BYTES


@pytest.mark.parametrize("size", [0, 8, 100])
def test_a_damaged_one_is_told(size: int) -> None:
    """What no era can have left is damage, not a sieve."""
    with pytest.raises(BadFile, match="damaged"):
        Sieves().put(1, bytes(size))
