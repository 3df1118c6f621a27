"""What the service and its writer process say to each other arrives as it was sent."""

import pytest
from test_group_commit import batch, sent
from test_writer import checkpoint

from ingest_svc import messages
from ingest_svc.messages import Ask, Batches, Call, Messages, Received, framed
from shared.storage.columns import columns


def test_messages_are_whole_however_they_arrive() -> None:
    """Cut anywhere, the same messages come out."""
    asks: list[Ask] = [batch(1, 2), Call("find_horizon", (1.5, None, 3)), sent(Batches(), [], ("sender", 7))]
    data = b"".join(map(framed, asks))
    for size in (1, 3, 7, len(data)):
        incoming = Messages(Ask)
        found = [ask for start in range(0, len(data), size) for ask in incoming.feed(data[start : start + size])]
        assert found == asks


def test_long_traits_are_not_many() -> None:
    """What both ends remember of traits is bounded by how long they are."""
    batches, received = Batches(), Received()
    for number in range(10):
        entries = [checkpoint(number, hostname=f"{number}" * messages.TRAITS_CHARACTERS)]
        assert received.columns([sent(batches, entries)]) == columns(entries)
    assert len(batches._numbers) == len(received._traits) == 1


def test_batches_that_come_together_are_one_behind_the_other() -> None:
    """Each raw line stays with its entry, and of each batch is known how large it is."""
    batches = Batches()
    some = [[checkpoint(1), checkpoint(2, raw_line="two")], [], [checkpoint(3, raw_line="three"), checkpoint(4)]]
    together = Received().columns([sent(batches, entries) for entries in some])
    assert together == columns(*some)
    assert (together.lines, together.sizes) == ([(1, "two"), (2, "three")], [2, 0, 2])


def test_places_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives is what was sent, also behind a batch that could not be sent and when numbers begin anew."""
    monkeypatch.setattr(messages, "MAX_TRAITS", 20)
    batches, received = Batches(), Received()
    for turn in range(40):
        entries = [checkpoint(number, endpoint=f"/{(turn * number) % 30}") for number in range(turn % 7)]
        if turn % 5 == 3:
            broken = [checkpoint(0, endpoint=f"/broken/{turn}", suffix="\ud800")]
            with pytest.raises(UnicodeEncodeError):
                batches.framed(columns([*entries, *broken]))
        assert received.columns([sent(batches, entries)]) == columns(entries)
