"""Whole numbers as options: decimal digits, as in settings."""

from __future__ import annotations

import re
from typing import Any

import click


class Whole(click.IntRange):
    """Python alone would read `1_000` and the digits of any script, too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value.strip()):
            self.fail(f"{value!r} is not a whole number", param, ctx)
        return super().convert(value, param, ctx)
