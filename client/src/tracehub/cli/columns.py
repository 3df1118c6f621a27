"""Which columns of a table there is room for."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

GAP = 2  # between columns
UNFOLDED = 36  # letters, as a UUID has them: a cell of so many stays on one line, and other columns go for it


def fitting(rows: list[dict[str, Text]], dispensable: Iterable[str], width: int) -> list[str]:
    """The names of the columns that stay on so narrow a terminal; of the dispensable ones the first goes first."""
    names = list(rows[0])
    for dropped in dispensable:
        widest = (max(len(name), *(row[name].cell_len for row in rows)) for name in names)
        if sum(min(cells, UNFOLDED) + GAP for cells in widest) - GAP > width:
            names.remove(dropped)
    return names
