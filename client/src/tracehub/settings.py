"""The environment, read when a setting is first used and never at import."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Callable, TypeVar

from tracehub.trouble import say

T = TypeVar("T", int, float)


def read_numbers() -> dict[str, Any]:
    """What the `TRACEHUB_*` variables say of a client, by the names of its arguments."""
    return {
        "batch_size": _read("TRACEHUB_BATCH_SIZE", int, 10, 1),
        "flush_interval": _read("TRACEHUB_FLUSH_INTERVAL", float, 1.0, 0.0),
        "timeout": _read("TRACEHUB_TIMEOUT", float, 5.0, 0.001),
        "retry_count": _read("TRACEHUB_RETRY_COUNT", int, 2, 0),
    }


def read_url() -> str:
    """Where entries go, empty when disabled."""
    return os.environ.get("TRACEHUB_URL", "").strip()


def read_secret(name: str) -> str:
    """The first secret of the variable `name`, or of the file that `<name>_FILE` names; empty when there is none."""
    path = os.environ.get(f"{name}_FILE", "").strip()
    text = os.environ.get(name, "").strip()
    if path and not text:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, ValueError) as error:
            say(f"setting {name}", "%s_FILE cannot be read: %s", name, error)
    return first_secret(text)


def first_secret(text: str) -> str:
    """The one to show of several with commas in between, as a rotation has them; empty when there is none."""
    return text.split(",")[0].strip()


def read_words(name: str) -> tuple[str, ...]:
    """A comma-separated list."""
    return tuple(word.strip() for word in os.environ.get(name, "").split(",") if word.strip())


def read_spool() -> tuple[str, int]:
    """Directory of the spool (empty: none) and its bound in MiB."""
    return os.environ.get("TRACEHUB_SPOOL", "").strip(), _read("TRACEHUB_SPOOL_MB", int, 64, 1)


def number(name: str, given: object, kind: Callable[[Any], T], default: T, least: T) -> T:
    """`given`, or the default where it is empty, None or, which is logged, of no use."""
    if given in ("", None):
        return default
    try:
        if isinstance(given, str) and not re.fullmatch(r"\s*\d+(\.\d+)?\s*", given, re.A):
            raise ValueError
        value = kind(given)
    except (TypeError, ValueError, OverflowError):
        value = least - 1
    if not least <= value < 1e9:
        say(f"setting {name}", "%s=%r cannot be used, %s is", name, given, default)
        return default
    return value


def _read(name: str, kind: Callable[[str], T], default: T, least: T) -> T:
    return number(name, os.environ.get(name, "").strip(), kind, default, least)
