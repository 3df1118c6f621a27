"""What the ingest service and its writer process say to each other, over a pair of sockets.

The service asks, the writer answers: batches in the order in which they came, calls in theirs. Apart from answers it
says how it stands with the file: `Standing`. A message is msgpack behind its length.
"""

import itertools
import struct
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from shared import errors
from shared.storage.columns import Columns
from shared.storage.sites import Traits, characters

MAX_TRAITS: Final = 65_536  # that have a number at a time, and
TRAITS_CHARACTERS: Final = 4 * 2**20  # what they may have
READ_BYTES: Final = 256 * 1024
_LENGTH: Final = struct.Struct("<I")

Report = tuple[str, int]  # of a sender: its id, and the entries it dropped since its start


class Batch(msgspec.Struct, array_like=True, tag="batch", gc=False):
    """Entries to store, column by column, and what their sender says it dropped since its start.

    Traits are sent when they first occur and have a number from then on. `first_new` is the number of the first of the
    `new_traits`; when it is 0, all that were sent before are forgotten.
    """

    correlation_ids: list[str]
    instants: list[int]
    suffixes: list[str]
    traits: list[int]
    data: list[str]
    lines: list[tuple[int, str]]
    first_new: int
    new_traits: list[Traits]
    sender: str | None = None
    dropped: int = 0


class Batches:
    """Entries to batches, in the order in which they are sent."""

    def __init__(self) -> None:
        self._numbers: dict[Traits, int] = {}
        self._characters = 0

    def framed(self, entries: Columns, report: Report | None = None) -> bytes:
        """The message that has these entries stored. Where it cannot be made, the traits have no number either."""
        if len(self._numbers) >= MAX_TRAITS or self._characters > TRAITS_CHARACTERS:
            self._numbers.clear()
            self._characters = 0
        numbers, first_new = self._numbers, len(self._numbers)
        fresh: dict[Traits, int] = {}
        try:
            traits = list(map(numbers.__getitem__, entries.traits))
        except KeyError:
            new = dict.fromkeys(each for each in entries.traits if each not in numbers)
            fresh = dict(zip(new, itertools.count(first_new), strict=False))
            traits = [fresh[each] if each in fresh else numbers[each] for each in entries.traits]
        message = framed(
            Batch(
                entries.correlation_ids, entries.instants, entries.suffixes, traits, entries.data, entries.lines,
                first_new, list(fresh), *(report or ()),
            )
        )  # fmt: skip
        numbers.update(fresh)
        self._characters += sum(map(characters, fresh))
        return message


class Received:
    """Batches to what the Writer takes, in the order in which they came."""

    def __init__(self) -> None:
        self._traits: list[Traits] = []

    def columns(self, batches: Iterable[Batch]) -> Columns:
        """The entries of the next batches, one behind the other."""
        entries = Columns([], [], [], [], [], [], [])
        for batch in batches:
            if batch.new_traits:
                self._traits[batch.first_new :] = batch.new_traits
            if batch.lines:
                entries.lines.extend((entries.size + place, line) for place, line in batch.lines)
            entries.correlation_ids.extend(batch.correlation_ids)
            entries.instants.extend(batch.instants)
            entries.suffixes.extend(batch.suffixes)
            entries.traits.extend(map(self._traits.__getitem__, batch.traits))
            entries.data.extend(batch.data)
            entries.sizes.append(len(batch.suffixes))
        return entries


class Call(msgspec.Struct, array_like=True, tag="call", gc=False):
    """A method of the Writer to call; the names are those of `OPERATIONS`."""

    operation: str
    arguments: tuple[float | int | None, ...]


class Fault(msgspec.Struct, array_like=True, gc=False):
    """An error on its way; `kind` is a class of shared.errors, empty for what nobody foresaw."""

    kind: str
    detail: str
    retry_after: int = 1

    @classmethod
    def of(cls, error: Exception) -> "Fault":
        """The error, so that the other side can raise it again."""
        if not isinstance(error, errors.TraceHubError):
            return cls("", f"{type(error).__name__}: {error}")
        return cls(type(error).__name__, str(error), getattr(error, "retry_after", 1))

    def error(self) -> Exception:
        """What to raise."""
        kind = getattr(errors, self.kind) if self.kind else None
        if kind is None:
            return RuntimeError(f"the writer process failed, its log says more ({self.detail})")
        known: errors.TraceHubError = (
            kind(self.detail, self.retry_after) if issubclass(kind, errors.Unavailable) else kind(self.detail)
        )
        return known


class Written(msgspec.Struct, array_like=True, tag="written", gc=False):
    """One transaction stored as many batches as there are counts: of each, how many entries were new."""

    counts: list[int]
    seconds: float


class Done(msgspec.Struct, array_like=True, tag="done", gc=False):
    """What a call gave, and how long it took."""

    value: int
    seconds: float


class Failed(msgspec.Struct, array_like=True, tag="failed", gc=False):
    """So many batches failed together, or a call did: 0."""

    fault: Fault
    batches: int


class Standing(msgspec.Struct, array_like=True, tag="standing", gc=False):
    """How it stands with the file: open, or why not yet; `is_final`: it never will be."""

    fault: Fault | None
    is_final: bool = False


Ask = Batch | Call
Answer = Written | Done | Failed | Standing

_encode: Final = msgspec.msgpack.Encoder().encode


def framed(message: Ask | Answer) -> bytes:
    """A message as it is sent."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class Messages:
    """Bytes as they arrive, to messages."""

    def __init__(self, kind: Any) -> None:
        self._decode = msgspec.msgpack.Decoder(kind).decode
        self._bytes = bytearray()

    def feed(self, piece: bytes) -> list[Any]:
        """The messages that are whole with this piece."""
        self._bytes += piece
        messages, start = [], 0
        with memoryview(self._bytes) as view:
            while len(view) - start >= _LENGTH.size:
                stop = start + _LENGTH.size + _LENGTH.unpack_from(view, start)[0]
                if stop > len(view):
                    break
                messages.append(self._decode(view[start + _LENGTH.size : stop]))
                start = stop
        del self._bytes[:start]
        return messages
