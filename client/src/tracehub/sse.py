"""Server-sent events: lines in, events out. Pure, as the HTML standard has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Event(NamedTuple):
    """`id` is this event's own, empty where it has none."""

    name: str
    data: str
    id: str


class Events:
    """Reads one stream after another; `last_id` and `retry_ms` outlive a connection."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None

    def read(self, lines: Iterable[bytes]) -> Iterator[Event]:
        """Each event as soon as its blank line is there. An event cut off by the end of the stream is none."""
        name, own_id = "message", ""
        data: list[str] = []
        for raw in lines:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not line:
                self.last_id = own_id or self.last_id
                if data:
                    yield Event(name, "\n".join(data), own_id)
                name, data, own_id = "message", [], ""
                continue
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value or "message"
            elif field == "id" and "\0" not in value:
                own_id = value
            elif field == "retry" and value.isascii() and value.isdigit():
                self.retry_ms = int(value)
