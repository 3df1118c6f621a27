"""What is asked of the file and what is found there, in the words of the reader."""

from typing import NamedTuple

from shared.answers import Correlation


class Chain(NamedTuple):
    """A chain as its summary has it; `complete` is None when entries of it have expired."""

    correlation_id: str
    id: int
    base: int
    entries: int
    expired: int
    complete: bool | None
    newest: int


class Position(NamedTuple):
    """A place within a chain in order of time, behind the entry with this instant and row id."""

    instant: int
    id: int


class Stretch(NamedTuple):
    """Some entries of a chain as JSON with commas in between, their number, and the position behind them."""

    text: bytes
    found: int
    end: Position
    may_go_on: bool


class Extent(NamedTuple):
    """Row ids of one moment: of the oldest entry or the next one, of the newest, of the last before some time."""

    oldest: int
    newest: int
    before: int


class Active(NamedTuple):
    """A chain by its activity."""

    id: int
    entries: int
    newest: int


class Chosen(NamedTuple):
    """Which chains are asked for; the times (Unix milliseconds) speak of the arrival of a chain's newest entry."""

    source: str = ""
    q: str = ""
    complete: bool | None = None
    errors: bool | None = None
    active_after: float | None = None
    active_before: float | None = None


class Page(NamedTuple):
    """Chains, and the `before` of the next page if there may be one."""

    correlations: list[Correlation]
    next: int | None
