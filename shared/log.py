"""The log: one line for each thing that happened, whatever text from outside it repeats.

A line break in a name would forge a line, an escape sequence would be obeyed by the terminal that shows the log.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from shared.errors import TraceHubError


def set_up_log() -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def printable(text: str) -> str:
    """Text from outside on one line, without what a terminal would obey or no encoding carries."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class Printable(logging.Formatter):
    """Leaves nothing but printable text; a traceback stays several lines, none of which looks like one of the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        """The line itself."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        """The traceback, indented."""
        return "\n".join(f"    {printable(line)}" for line in super().formatException(ei).split("\n"))


class Endless:
    """The turns of a loop that never ends: why one fails is logged, the same reason again only after a good turn."""

    def __init__(self, log: logging.Logger, name: str) -> None:
        self._log = log
        self._name = name
        self._told = ""

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One turn; its errors end here, for the next one may do better."""
        try:
            yield
            self._told = ""
        except TraceHubError as error:
            if str(error) != self._told:
                self._log.warning("%s waits: %s", self._name, error)
            self._told = str(error)
        except Exception:
            self._log.exception("%s stumbled", self._name)
