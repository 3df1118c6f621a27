"""The environment, read when a setting is first used and never at import."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, TypeVar

from tracehub.trouble import say

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Settings:
    """How the process-wide client is set up. Times are in seconds; an empty `url` means disabled."""

    url: str = ""
    batch_size: int = 10  # entries that make a batch leave at once
    flush_interval: float = 1.0  # the longest that an entry waits for company
    timeout: float = 5.0  # for one answer of the server
    retry_count: int = 2  # quick retries before it slows down


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The `TRACEHUB_*` variables; a value that cannot be read is logged and its default used."""
    source = os.environ if environ is None else environ
    return Settings(
        url=read_url(source),
        batch_size=_number(source, "TRACEHUB_BATCH_SIZE", int, 10, 1),
        flush_interval=_number(source, "TRACEHUB_FLUSH_INTERVAL", float, 1.0, 0.0),
        timeout=_number(source, "TRACEHUB_TIMEOUT", float, 5.0, 0.001),
        retry_count=_number(source, "TRACEHUB_RETRY_COUNT", int, 2, 0),
    )


def read_url(environ: Mapping[str, str] | None = None) -> str:
    """Where entries go, empty when disabled."""
    return (os.environ if environ is None else environ).get("TRACEHUB_URL", "").strip()


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
    return os.environ.get("TRACEHUB_SPOOL", "").strip(), _number(os.environ, "TRACEHUB_SPOOL_MB", int, 64, 1)


def _number(environ: Mapping[str, str], name: str, kind: Callable[[str], T], default: T, least: T) -> T:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = kind(text)
    except ValueError:
        value = least - 1
    if not least <= value < 1e9:
        say(f"setting {name}", "%s=%r cannot be used, %s is", name, text, default)
        return default
    return value
