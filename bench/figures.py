"""The lines of a run, asked for by what they say: medians, spreads, and ratios taken within a round."""

import statistics
from typing import Any, NamedTuple


class Spread(NamedTuple):
    """Several measurements of one thing."""

    median: float
    low: float
    high: float


class Figures:
    """All lines of a run."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.lines = lines

    def select(self, **conditions: Any) -> list[dict[str, Any]]:
        """The lines with these values."""
        return [line for line in self.lines if all(line.get(name) == value for name, value in conditions.items())]

    def values(self, figure: str, **conditions: Any) -> list[float]:
        """One figure of the lines with these values, those without it left out."""
        return [line[figure] for line in self.select(**conditions) if line.get(figure) is not None]

    def spread(self, figure: str, **conditions: Any) -> Spread | None:
        """Median, lowest and highest; None where nothing was measured."""
        values = self.values(figure, **conditions)
        return Spread(statistics.median(values), min(values), max(values)) if values else None

    def median(self, figure: str, **conditions: Any) -> float | None:
        """The median; None where nothing was measured."""
        spread = self.spread(figure, **conditions)
        return spread.median if spread else None

    def ratio(self, above: tuple[str, dict[str, Any]], below: tuple[str, dict[str, Any]]) -> Spread | None:
        """One figure in parts of another, round by round: what a round's machine was like cancels out."""
        of = {_round(line): line[below[0]] for line in self.select(**below[1]) if line.get(below[0])}
        ratios = [
            line[above[0]] / of[_round(line)]
            for line in self.select(**above[1])
            if line.get(above[0]) is not None and _round(line) in of
        ]
        return Spread(statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def _round(line: dict[str, Any]) -> tuple[Any, Any]:
    return line.get("run"), line.get("round")


def number(value: float | None) -> str:
    """For a table: three digits that matter, thousands apart."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
